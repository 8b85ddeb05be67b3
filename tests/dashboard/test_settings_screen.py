"""The settings of the server in a browser: searched, narrowed to what differs, and without secrets."""

from pathlib import Path

from playwright.async_api import expect

from app.access.scopes import AccessScope
from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.integration.test_keys import manager
from tests.servers import live_server, settings_for, until


async def test_settings_are_searched_and_marked_where_they_differ(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0, openai_api_key="sk-secret", max_queue_size=77)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard/#/settings")
        table = page.get_by_role("group", name="Table of settings")
        row = table.get_by_role("row").filter(has_text="MAX_QUEUE_SIZE").first
        await expect(row).to_contain_text("Maximum number of waiting messages")
        await expect(row.get_by_role("cell").nth(1)).to_contain_text("77")
        await expect(row.get_by_role("cell").nth(1)).to_contain_text("differs")
        await expect(row.get_by_role("cell").nth(3)).to_have_text("1000")
        secret = table.get_by_role("row").filter(has_text="OPENAI_API_KEY").first
        await expect(secret).to_contain_text("***")
        await expect(secret).to_contain_text("a secret is not shown")
        await expect(table.get_by_role("row").filter(has_text="RETENTION_DAYS").first).to_contain_text("the same")
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            assert await faults_of_access(page) == []

        await page.keyboard.press("/")
        await page.keyboard.type("waiting messages queue")
        await expect(table.get_by_role("row")).to_have_count(3)  # with the head
        await page.get_by_label("Search the settings").fill("no such setting")
        await expect(page.get_by_text("No setting matches.")).to_be_visible()
        await page.get_by_label("Search the settings").fill("")
        await page.get_by_label("Only those that differ").check()
        await expect(table).to_contain_text("MAX_QUEUE_SIZE")
        await expect(table.get_by_text("RETENTION_DAYS", exact=True)).to_have_count(0)
        assert await page.get_by_text("sk-secret").count() == 0


async def test_only_administrators_see_the_settings(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path, worker_concurrency=0)) as server, browser() as one:
        key = await manager(server).create("default", "viewer", (AccessScope.READ,), None)
        await until(lambda: server.runtime.services.access._keys.has_keys, "the key is known")
        async with page_of(one) as page:
            await page.goto(f"{server.url}/dashboard/#/settings")
            await page.get_by_label("API key or token").fill(key.text)
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_text("Only callers with the scope admin see them.")).to_be_visible()
            await expect(page.get_by_role("group", name="Table of settings")).to_have_count(0)
