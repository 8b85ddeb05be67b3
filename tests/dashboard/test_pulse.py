"""Pulse in a browser: figures, charts, what runs, problems, the pause, and what is shown while the server is away."""

from pathlib import Path

from playwright.async_api import Locator, Page, expect

from app.access.scopes import AccessScope
from tests import wire
from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.integration.test_keys import issue
from tests.openai_stub import openai_stub
from tests.servers import live_server, server_process, settings_for

HOSTILE = "#hang <img src=x onerror=alert(1)> " + "w" * 3_000


def figure(page: Page, name: str) -> Locator:
    """The card of a figure."""
    return page.locator(".figure", has=page.get_by_text(name, exact=True))


async def test_an_operator_sees_what_runs_and_stops_it_and_pauses_the_queue(tmp_path: Path) -> None:
    async with openai_stub() as stub:
        settings = settings_for(tmp_path, openai_base_url=stub.base_url, openai_api_key="sk-x", model_name="gpt-4o")
        async with (
            live_server(settings) as server,
            browser() as one,
            page_of(one, viewport={"width": 375, "height": 800}) as page,
        ):
            await page.goto(f"{server.url}/dashboard")
            await expect(page.get_by_text('agentq submit "Hello" --follow')).to_be_visible()
            await server.ended((await server.submit("Hello"))["message_id"])
            await server.submit(HOSTILE)
            await server.submit("Later", priority="low")
            running = page.get_by_role("region", name="Running now")
            await expect(running).to_contain_text("<img src=x")
            await expect(figure(page, "Completed a minute")).to_contain_text("1 message in 1 h")
            await expect(figure(page, "Running")).to_contain_text("1 of 1 slot busy")
            await expect(page.get_by_role("region", name="Waiting, by priority")).to_contain_text("low1")
            await expect(page.get_by_role("heading", name="Tokens a minute")).to_be_visible()
            await expect(page.get_by_role("heading", name="Cost a minute")).to_be_visible()
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide == 0
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                assert await faults_of_access(page) == []

            await page.get_by_role("link", name="24 hours").click()
            await expect(page.get_by_role("heading", name="Ended in 5 minutes")).to_be_visible()
            assert page.url.endswith("#/pulse?window=24h")
            await page.go_back()
            await expect(page.get_by_role("heading", name="Ended a minute")).to_be_visible()

            await expect(page.get_by_role("button", name="Pause the queue")).to_be_enabled()
            await page.keyboard.press("p")
            await page.get_by_role("dialog").get_by_role("button", name="Pause the queue").click()
            await expect(page.get_by_text("None begins until it is resumed.")).to_be_visible()
            await page.get_by_role("button", name="Look again").click()
            problems = page.get_by_role("region", name="Problems")
            await expect(problems).to_contain_text("/queue/resume")

            await running.get_by_role("button", name="Cancel").click()
            await page.get_by_role("button", name="Cancel it").click()
            await expect(running).to_contain_text("Nothing runs.")
            await page.get_by_role("button", name="Resume the queue").click()
            await page.get_by_role("dialog").get_by_role("button", name="Resume the queue").click()
            await expect(figure(page, "Completed a minute")).to_contain_text("2 messages in 1 h")


async def test_a_viewer_sees_the_health_check_and_why_buttons_are_off(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one) as page,
    ):
        await server.submit("Secret of the others")
        viewer = await issue(server, AccessScope.READ)
        await page.goto(f"{server.url}/dashboard")
        await page.get_by_label("API key or token").fill(viewer.text)
        await page.get_by_role("button", name="Sign in").click()
        problems = page.get_by_role("region", name="Problems")
        await expect(problems).to_contain_text("The server is healthy.")
        await expect(problems).to_contain_text("Callers with the scope admin see all checks")
        await expect(page.get_by_role("button", name="Pause the queue")).to_be_disabled()
        await expect(page.get_by_text("Only callers with the scope admin pause the queue.")).to_be_visible()
        await page.keyboard.press("p")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(figure(page, "Queued")).to_contain_text("1")
        await expect(page.get_by_role("region", name="Queued, by priority")).to_contain_text("normal1")
        await expect(page.get_by_role("link", name="Workers")).to_have_count(0)
        assert await faults_of_access(page) == []


async def test_figures_are_grey_while_the_server_is_away_and_then_live_again(tmp_path: Path) -> None:
    """The server dies by kill -9. Nothing on the page turns into 0, and no reload of the page is needed."""
    with server_process(tmp_path, WORKER_CONCURRENCY="0") as first:
        await first.ready()
        async with browser() as one, page_of(one, is_cut_off=True) as page:
            await page.goto(f"{first.url}/dashboard")
            headers = {"Content-Type": "application/json"}
            sent = await wire.request(first.url, "POST", "/messages", headers=headers, body=b'{"message": "x"}')
            assert sent.status == 202
            await expect(figure(page, "Queued")).to_contain_text("1")
            figures = page.locator("[data-part=figures]")
            await expect(figures).to_have_class("stack")

            first.kill()
            await expect(page.get_by_role("button", name="reconnecting")).to_be_visible()
            await expect(figures).to_have_class("stack stale")
            await expect(page.get_by_text("The server does not answer.").first).to_be_visible()
            await expect(figure(page, "Queued")).to_contain_text("1")

            with server_process(tmp_path, WORKER_CONCURRENCY="0", PORT=str(first.port)):
                await expect(page.get_by_role("button", name="live")).to_be_visible(timeout=30_000)
                await expect(figures).to_have_class("stack")
                await expect(page.get_by_role("alert")).to_have_count(0)
