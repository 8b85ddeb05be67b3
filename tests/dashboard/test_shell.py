"""The frame of the dashboard in a browser: navigation, themes, shortcuts, signing in."""

from pathlib import Path

from playwright.async_api import expect

from app import __version__
from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.servers import live_server, settings_for

SHOWN = {
    "settings": "Settings and help",
    "attention": "Nothing has failed for good.",
    "access": "No keys yet",
    "access/audit": "queue.pause",
}
"""Screens, and a text of each once it is loaded."""


async def test_it_opens_without_a_key_on_the_own_host(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard")
        await expect(page.get_by_role("heading", name="Pulse")).to_be_visible()
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        assert await faults_of_access(page) == []


async def test_screens_of_people_read_well_in_both_themes_on_a_narrow_page(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one, viewport={"width": 375, "height": 800}) as page,
    ):
        await server.client.post("/queue/pause")
        await page.goto(f"{server.url}/")  # leads to the dashboard
        await expect(page).to_have_url(f"{server.url}/dashboard/")
        await page.goto(f"{server.url}/dashboard/#/settings")
        await expect(page.get_by_text(f"version {__version__}")).to_be_visible()
        assert await page.get_by_role("link", name="Try the API").get_attribute("href") == f"{server.url}/docs"
        for theme in ("Light", "Dark"):
            await page.goto(f"{server.url}/dashboard/#/settings")
            await page.get_by_label(theme).check()
            for screen, text in SHOWN.items():
                await page.goto(f"{server.url}/dashboard/#/{screen}")
                await expect(page.get_by_text(text, exact=True).first).to_be_visible()
                assert await faults_of_access(page) == []
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), screen
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_charts_are_drawn_in_a_browser_without_a_language(tmp_path: Path) -> None:
    """Chromium says so in the locale "C"."""
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one) as page,
    ):
        await page.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'language', { get: () => 'en-US@posix' })"
        )
        await server.submit("Counted")
        await page.goto(f"{server.url}/dashboard")
        await expect(page.get_by_role("heading", name="Pulse")).to_be_visible()
        await expect(page.locator(".chart canvas").first).to_be_visible()


async def test_a_user_of_a_proxy_needs_no_sign_in(tmp_path: Path) -> None:
    """The browser's own headers stand for those of the proxy."""
    settings = settings_for(
        tmp_path, worker_concurrency=0, trusted_proxies=("127.0.0.1",), proxy_user_header="x-user",
        proxy_groups_header="x-groups", proxy_roles={"staff": "viewer", "admins": "admin"},
    )  # fmt: skip
    async with live_server(settings) as server, browser() as one:
        async with page_of(one, extra_http_headers={"X-User": "ada", "X-Groups": "staff"}) as page:
            await page.goto(f"{server.url}/dashboard/")
            await expect(page.get_by_text("user:ada").first).to_be_visible()
            await expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
            await expect(page.get_by_role("button", name="Pause the queue")).to_be_disabled()
            await page.goto(f"{server.url}/dashboard/#/workers")
            await expect(page.get_by_role("alert")).to_contain_text("Workers needs the scope admin")
        async with page_of(one, extra_http_headers={"X-User": "eve", "X-Groups": "admins"}) as page:
            await page.goto(f"{server.url}/dashboard/#/workers")
            await page.get_by_role("button", name="Pause the queue").click()
            await page.get_by_role("dialog").get_by_role("button", name="Pause the queue").click()
            await expect(page.get_by_text("The queue is paused.").first).to_be_visible()
        async with page_of(one) as page:
            await page.goto(f"{server.url}/dashboard/")
            await expect(page.get_by_label("API key or token")).to_be_visible()
