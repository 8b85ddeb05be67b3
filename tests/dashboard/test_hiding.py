"""Texts are hidden on every screen until they are asked for, on a server with HIDE_PAYLOADS."""

import json
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.integration.test_interrupts import interrupted
from tests.servers import LiveServer, live_server, settings_for

CANARY = "kestrel"
"""A word that all texts have: prompts, answers, tools, states, questions, metadata and names."""

AGENTS = "calls=tests.dashboard.graphs:calls,asks=tests.dashboard.graphs:asks"
SEEN = """() => {
  const typed = [...document.querySelectorAll("input, textarea, select")].map((field) => field.value);
  return document.documentElement.outerHTML + typed.join() + document.title;
}"""
"""Returns all that a page has, also what people who use screen readers hear and what is folded."""


async def is_hidden(page: Page) -> bool:
    return CANARY not in await page.evaluate(SEEN)


async def messages_of(server: LiveServer) -> dict[str, str]:
    """Submit a message of each kind. Return their ids by kind."""
    named = {"thread_id": "trip", "name": f"Trip {CANARY}", "metadata": {"note": CANARY}}
    good = await server.submit(f"{CANARY} one", agent="calls", **named)
    await server.ended(good["message_id"])
    failed = await server.submit(f"{CANARY} fails", agent="calls")
    await server.ended(failed["message_id"])
    asking = await server.submit(json.dumps(f"Really {CANARY}?"), agent="asks")
    await interrupted(server, asking["message_id"])
    return {kind: each["message_id"] for kind, each in (("good", good), ("failed", failed), ("asking", asking))}


async def test_no_screen_shows_a_text_that_was_not_asked_for(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, hide_payloads=True, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        ids = await messages_of(server)
        screens = {
            "pulse": "Running now",
            "messages": ids["good"],
            "threads": "trip",
            "threads/trip": "Hidden: the name",
            "threads/trip?view=states": "Hidden: the name",
            "play/trip": "Hidden: the messages",
            "attention": "Hidden: the question",
            f"message/{ids['good']}": "The text is hidden.",
            f"message/{ids['failed']}": "the tool did not answer",
            f"message/{ids['asking']}": "Hidden: what was asked",
        }
        for screen, text in screens.items():
            await page.goto(f"{server.url}/dashboard/#/{screen}")
            await expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()
            assert await is_hidden(page), screen
            assert await faults_of_access(page) == [], screen


async def test_what_is_asked_for_is_shown_until_the_page_is_loaded_again(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, hide_payloads=True, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        ids = await messages_of(server)
        await page.goto(f"{server.url}/dashboard/#/message/{ids['good']}")
        copies = page.get_by_role("button", name="Copy as…")
        await expect(copies).to_be_disabled()
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.get_by_label("Text of the answer")).to_contain_text(f"The answer is {CANARY} one")
        await expect(copies).to_be_enabled()
        await page.goto(f"{server.url}/dashboard/#/message/{ids['failed']}")
        await expect(page.get_by_role("heading", name="Message", exact=True)).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("heading", name=f"{CANARY} one")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("The text is hidden.")).to_be_visible()
        assert await is_hidden(page)

        await page.goto(f"{server.url}/dashboard/#/threads/trip")
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.get_by_role("heading", name=f"Trip {CANARY}")).to_be_visible()
        await expect(page.get_by_text(f"The answer is {CANARY} one").first).to_be_visible()

        await page.goto(f"{server.url}/dashboard/#/attention")
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.get_by_text(f"Really {CANARY}?", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Compare with the last good one").click()
        await expect(page.get_by_text("Hidden: both messages")).to_be_visible()
        assert f"{CANARY} fails" not in await page.evaluate(SEEN)
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.get_by_text("What was asked")).to_be_visible()


async def test_who_writes_into_a_conversation_reads_it(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, hide_payloads=True)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard/#/play")
        await page.get_by_label("Message", exact=True).fill(f"{CANARY} three")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text(f"The answer is {CANARY} three").first).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("Hidden: the messages of this conversation.")).to_be_visible()
        assert await is_hidden(page)


async def test_without_the_setting_nothing_is_hidden(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        ids = await messages_of(server)
        await page.goto(f"{server.url}/dashboard/#/messages")
        await expect(page.get_by_role("link", name=f"{CANARY} one")).to_be_visible()
        await page.goto(f"{server.url}/dashboard/#/message/{ids['good']}")
        await expect(page.get_by_label("Text of the answer")).to_contain_text(f"The answer is {CANARY} one")
        await expect(page.get_by_role("button", name="Show", exact=True)).to_have_count(0)
