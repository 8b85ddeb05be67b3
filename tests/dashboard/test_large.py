"""The dashboard with much to show, and over a slow network."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.contract.builders import new
from tests.dashboard.browser import browser, page_of
from tests.openai_stub import Answer, StubServer
from tests.servers import live_server, settings_for

MESSAGES = 100_000
BATCH = 1_000
PAGES_DOWN = 60
MOST_ROWS = 60
"""Rows that the page may have as elements at a time."""

WORDS = 20_000
PARAGRAPH = 50
LONG_MS = 60_000
"""How long an answer of so many words may take, on a machine that does something else too."""

SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
"""A phone at the edge of its network: milliseconds for each request, and bytes a second."""


async def test_a_hundred_thousand_messages_are_counted_walked_and_searched(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0, max_queue_size=2 * MESSAGES)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        for first in range(0, MESSAGES, BATCH):
            texts = [f"Question {number}" if number else "A needle" for number in range(first, first + BATCH)]
            await server.runtime.services.store.add([new(content=text) for text in texts], max_queued=2 * MESSAGES)
        await page.goto(f"{server.url}/dashboard/#/messages")
        await expect(page.get_by_role("group", name="All that match")).to_contain_text(f"{MESSAGES:,} match")
        await expect(page.get_by_role("link", name=f"Question {MESSAGES - 1}")).to_be_visible()
        table, rows = page.get_by_role("table", name="Messages"), page.locator('.table .body [role="row"]')
        await page.locator(".table .body").focus()
        for _ in range(PAGES_DOWN):
            await page.keyboard.press("PageDown")
        await expect(table).to_have_attribute("aria-rowcount", re.compile(r"^\d{3,}$"))
        assert await rows.count() < MOST_ROWS

        await page.get_by_label("Filter").fill("needle")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="A needle")).to_be_visible()
        await page.goto(f"{server.url}/dashboard/#/pulse")
        await expect(page.locator("[data-part=figures]")).to_contain_text(f"{MESSAGES:,}")


async def test_a_very_long_answer_is_written_reloaded_and_replayed(tmp_path: Path, model: StubServer) -> None:
    words = [f"w{number}" for number in range(WORDS)]
    paragraphs = [" ".join(words[at : at + PARAGRAPH]) for at in range(0, WORDS, PARAGRAPH)]
    model.replies.append(Answer("\n\n".join(paragraphs)))
    settings = settings_for(tmp_path, openai_base_url=model.base_url, openai_api_key="sk-test")
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        message = await server.submit("Say much")
        await page.goto(f"{server.url}/dashboard/#/message/{message['message_id']}")
        answer = page.get_by_role("region", name="Answer", exact=True)
        await expect(answer.get_by_text("w0 w1 w2")).to_be_visible()
        await page.reload()
        await expect(page.locator(".facts").get_by_text("completed")).to_be_visible(timeout=LONG_MS)
        assert await words_of(page) == words
        await page.reload()
        await expect(answer.get_by_text(f"w{WORDS - 1}")).to_be_attached(timeout=LONG_MS)
        assert await words_of(page) == words
        slider = answer.get_by_label("The answer after event")
        await slider.press("Home")
        await expect(answer.get_by_text("w0 w1 w2")).to_have_count(0)
        await slider.press("End")
        await expect(answer.get_by_text(f"w{WORDS - 1}")).to_be_attached()
        assert await words_of(page) == words


async def words_of(page: Page) -> list[str]:
    """Return the words of the answer as they are on the page."""
    texts = await page.get_by_role("region", name="Answer", exact=True).locator("p").all_text_contents()
    return [word for text in texts for word in text.split() if re.fullmatch(r"w\d+", word)]


async def test_a_slow_network_shows_that_it_loads_and_then_everything(tmp_path: Path, model: StubServer) -> None:
    model.replies.append(Answer("Oslo is the capital of Norway."))
    settings = settings_for(tmp_path, openai_base_url=model.base_url, openai_api_key="sk-test")
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        network = await page.context.new_cdp_session(page)
        await network.send("Network.enable")
        await network.send("Network.emulateNetworkConditions", SLOW)
        await page.goto(f"{server.url}/dashboard/#/play")
        await expect(page.get_by_role("heading", name="Play")).to_be_visible()
        await page.get_by_role("textbox", name="Message").fill("Which capital?")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Oslo is the capital of Norway.")).to_be_visible()
        await page.get_by_role("link", name="Messages").click()
        await expect(page.get_by_text("Loading…").first).to_be_visible()
        await expect(page.get_by_role("link", name="Which capital?")).to_be_visible()
