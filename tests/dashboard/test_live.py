"""The stream of the server's changes in a browser: what of it a page counts, and what its badge says."""

import asyncio
import json
from pathlib import Path

from playwright.async_api import Request, Route, expect

from tests.dashboard.browser import browser, page_of
from tests.servers import live_server, settings_for, until

ANSWERED = (("interrupted", "queued"), ("queued", "processing"))
"""The states of a message before and after its question is answered."""

LESS_THAN_SILENCE_MS = 10_000
"""Less than the time after which a silent stream counts as lost."""


def stream_of(changes: tuple[tuple[str, str], ...]) -> str:
    """Return a stream with changes of one message, which a page gets in one piece."""
    common = {"type": "message.changed", "at": "2026-11-30T00:00:00.000Z", "message_id": "one", "thread_id": None}
    frames = [
        f"id: x-{number}\nevent: change\ndata: {json.dumps({**common, 'state_before': before, 'state': after})}\n\n"
        for number, (before, after) in enumerate(changes, 1)
    ]
    return "".join(["retry: 600000\n", *frames])


async def test_changes_within_a_frame_count_from_the_state_before_all_of_them(tmp_path: Path) -> None:
    """The number of messages that need a person is read again although the last change alone does not concern it."""
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one, is_cut_off=True) as page:
        counts: list[str] = []
        is_shown = asyncio.Event()

        def count(request: Request) -> None:
            if request.url.endswith("/stats"):
                counts.append(request.url)

        async def answer(route: Route) -> None:
            await is_shown.wait()
            await route.fulfill(body=stream_of(ANSWERED), content_type="text/event-stream")

        page.on("request", count)
        await page.route("**/events", answer)
        await page.goto(f"{server.url}/dashboard/#/settings")
        await expect(page.get_by_role("heading", name="Settings and help")).to_be_visible()
        await until(lambda: counts, "what needs a person is counted")
        is_shown.set()
        await until(lambda: len(counts) > 1, "it is counted again")


async def test_the_badge_tells_at_once_that_the_network_is_gone_and_back(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one, is_cut_off=True) as page:
        await page.goto(f"{server.url}/dashboard/#/messages")
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        await page.context.set_offline(True)
        await expect(page.get_by_role("button", name="reconnecting")).to_be_visible(timeout=LESS_THAN_SILENCE_MS)
        await server.submit("Came meanwhile")
        await page.context.set_offline(False)
        await expect(page.get_by_role("button", name="live")).to_be_visible(timeout=LESS_THAN_SILENCE_MS)
        await expect(page.get_by_role("link", name="Came meanwhile")).to_be_visible()
