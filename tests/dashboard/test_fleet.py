"""Workers and usage in a browser: a worker that comes and is lost, and what calls of models cost."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.integration.test_keys import EVERYTHING, bearer, manager
from tests.openai_stub import openai_stub
from tests.servers import ServerProcess, live_server, server_process, settings_for, until

HOSTILE = "<img src=x onerror=alert(1)>"

MEMORY = re.compile(r"^\d+\.\d [MG]B$")
"""The server runs in the process of the tests, which holds more than 1 GB late in a long run."""


async def test_workers_come_and_are_lost_and_usage_is_added_up(tmp_path: Path) -> None:
    async with openai_stub() as stub:
        settings = settings_for(tmp_path, openai_base_url=stub.base_url, openai_api_key="sk-x", model_name="gpt-4o")
        given = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-x", "WORKER_CONCURRENCY": "3"}
        with server_process(tmp_path, "app.worker", **given) as other:
            async with live_server(settings) as server, browser() as one, page_of(one) as page:
                key = await manager(server).create("default", HOSTILE, EVERYTHING, None)
                await until(lambda: server.runtime.services.access._keys.has_keys, "the key is known")
                server.client.headers.update(bearer(key))
                given_to_tenant = {"weight": 2.5, "quotas": {"messages_per_day": 100, "tokens_per_month": 5}}
                (await server.client.patch("/tenants/default", json=given_to_tenant)).raise_for_status()
                await server.ended((await server.submit("Hello", thread_id=HOSTILE))["message_id"])
                await page.goto(f"{server.url}/dashboard/#/workers")
                await page.get_by_label("API key or token").fill(key.text)
                await page.get_by_role("button", name="Sign in").click()
                await _a_worker_is_lost(page, other)
                await _usage_is_added_up(page, tmp_path / "usage.csv")
                await _quotas_tell_what_is_left(page)
                await _storage_is_measured(page)
    text = (tmp_path / "usage.csv").read_text()
    assert text.startswith("key,calls,")
    assert key.key.id in text


async def _a_worker_is_lost(page: Page, other: ServerProcess) -> None:
    workers = page.get_by_role("region", name="Live workers")
    await expect(workers).to_contain_text("2 workers, 0 of 4 slots busy")
    await expect(workers).to_contain_text("chat available")
    await expect(workers).to_contain_text("0 of 3")
    await expect(workers.get_by_text(MEMORY)).to_have_count(2)
    await expect(workers.get_by_text("nothing", exact=True)).to_have_count(2)
    await _a_worker_is_drained_and_resumed(page)
    other.kill()
    await expect(page.get_by_text("its heartbeats ended without")).to_be_visible()
    await expect(workers).to_contain_text("1 worker, 0 of 1 slot busy")
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        assert await faults_of_access(page) == []


async def _a_worker_is_drained_and_resumed(page: Page) -> None:
    workers = page.get_by_role("region", name="Live workers")
    await workers.get_by_role("button", name="Drain").first.click()
    dialog = page.get_by_role("dialog", name="Drain the worker?")
    assert await faults_of_access(page) == []
    await dialog.get_by_role("button", name="Keep as it is").click()
    await expect(workers.get_by_text("active", exact=True)).to_have_count(2)
    await workers.get_by_role("button", name="Drain").first.click()
    await dialog.get_by_role("button", name="Drain the worker").click()
    await expect(workers.get_by_text("drained", exact=True)).to_be_visible()
    await expect(page.get_by_text("All workers are drained.")).to_have_count(0)
    await workers.get_by_role("button", name="Drain").click()
    await dialog.get_by_role("button", name="Drain the worker").click()
    await expect(page.get_by_text("All workers are drained.")).to_be_visible()
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        assert await faults_of_access(page) == []
    for _ in range(2):
        await workers.get_by_role("button", name="Resume").first.click()
        await expect(page.get_by_text("All workers are drained.")).to_have_count(0)
    await expect(workers.get_by_text("active", exact=True)).to_have_count(2)


async def _usage_is_added_up(page: Page, file: Path) -> None:
    await page.keyboard.press("g")
    await page.keyboard.press("u")
    await expect(page.get_by_role("heading", name="Tokens a day")).to_be_visible()
    await page.get_by_role("link", name="Key", exact=True).click()
    await page.get_by_role("link", name="Day", exact=True).click()
    assert page.url.endswith("#/usage?window=30d&by=key")
    await expect(page.get_by_role("heading", name="The highest costs")).to_be_visible()
    await page.get_by_role("link", name="24 hours").click()
    await expect(page.get_by_role("heading", name="Tokens a minute")).to_be_visible()
    await expect(page.get_by_role("heading", name="Cost a minute")).to_be_visible()
    await expect(page.locator("[data-part=by-agent]")).to_contain_text("chat")
    await page.get_by_role("link", name="30 days").click()
    table = page.get_by_role("region", name="Usage by group")
    await expect(table.get_by_role("row").nth(1)).to_contain_text(HOSTILE)
    await expect(table.get_by_role("row").last).to_contain_text("Together1")
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        assert await faults_of_access(page) == []
    async with page.expect_download() as downloaded:
        await page.get_by_role("button", name="Download as CSV").click()
    download = await downloaded.value
    assert download.suggested_filename == "usage-key.csv"
    await download.save_as(file)


async def _quotas_tell_what_is_left(page: Page) -> None:
    quotas = page.get_by_role("region", name="Quotas").get_by_role("listitem")
    await expect(quotas.filter(has_text="Messages a day of your tenant")).to_contain_text("99 left")
    await expect(quotas.filter(has_text="Tokens a month of your tenant")).to_contain_text("none left")
    row = page.get_by_role("region", name="Tenants").get_by_role("row").nth(1)
    await expect(row).to_have_text(re.compile(r"^\s*default2.5––––?100––?5\s*$"))


async def _storage_is_measured(page: Page) -> None:
    storage = page.get_by_role("region", name="Storage")
    await expect(storage.get_by_role("table")).to_have_count(0)
    await storage.get_by_role("button", name="Measure").click()
    row = storage.get_by_role("group", name="Table of storage").get_by_role("row").nth(1)
    await expect(row).to_contain_text(re.compile(r"^\s*default[\d.]+ k?B1[\d.]+ B"))
    await expect(row).to_contain_text("30 days")
    await expect(storage.get_by_role("group", name="Table of the largest threads").get_by_role("link")).to_have_count(1)
    engine = storage.get_by_role("group", name="Table of the database").get_by_role("row")
    await expect(engine.nth(1)).to_contain_text(re.compile(r"total[\d.]+ [kM]B"))
    await storage.get_by_text("Settings that decide").click()
    await expect(storage.get_by_text("RETENTION_DAYS=30", exact=True)).to_be_visible()
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        assert await faults_of_access(page) == []
