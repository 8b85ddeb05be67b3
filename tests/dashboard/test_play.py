"""The screen Play in a browser: a chat that outlives reloads, crashes and sign-outs."""

from base64 import b64decode
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Locator, Page, expect

from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.graph_control import GraphControl
from tests.integration.test_keys import issue, manager
from tests.openai_stub import Answer, Gate, StubServer, ToolCall
from tests.servers import live_server, server_process, settings_for, until

PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

SCHEMES: tuple[Literal["dark"], Literal["light"]] = ("dark", "light")

SENTENCE = "one two three four five six seven eight nine ten"


def environment(model: StubServer) -> dict[str, str]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-test", "WORKER_CONCURRENCY": "2"}


def turns(page: Page) -> Locator:
    return page.locator("li.turn")


async def check_access(page: Page) -> None:
    """Fail for what hinders people on the page as it is, in both themes."""
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await faults_of_access(page) == []


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def test_a_chat_streams_once_in_two_tabs_and_after_a_reload(tmp_path: Path, model: StubServer) -> None:
    gate = Gate(SENTENCE)
    model.replies.append(gate)
    with server_process(tmp_path, **environment(model)) as server:
        await server.ready()
        async with browser() as one, page_of(one) as page:
            await page.goto(f"{server.url}/dashboard/#/play")
            await say(page, "Count")
            await model.received(1)
            gate.release(4)
            await expect(turns(page)).to_contain_text("one two three four")
            await say(page, "Count again")  # waits behind
            await expect(turns(page).nth(1)).to_contain_text("Waits behind the message above")
            await page.get_by_label("Message", exact=True).fill("Not sent yet")

            other = await page.context.new_page()
            await other.goto(page.url)
            await page.reload()
            await expect(page.get_by_label("Message", exact=True)).to_have_value("Not sent yet")
            for tab in (page, other):
                await expect(turns(tab)).to_have_count(2)
                await expect(turns(tab).first.locator(".reply")).to_have_text("one two three four")
            gate.release_all()
            for tab in (page, other):
                await expect(turns(tab).first.locator(".reply")).to_have_text(SENTENCE)
                await expect(turns(tab).nth(1).locator(".reply")).to_have_text("You said: Count again")
                await expect(turns(tab).nth(1)).to_contain_text("tokens in")
            await check_access(page)

            await turns(other).nth(1).get_by_role("button", name="Answer anew").click()
            await expect(other.get_by_text("1 message that the agent no longer remembers")).to_be_visible()
            await expect(page.get_by_text("1 message that the agent no longer remembers")).to_be_visible()  # here too
            await expect(turns(page)).to_have_count(2)
            await expect(turns(page).nth(1)).to_contain_text("tokens in")
            await turns(page).nth(1).get_by_role("button", name="Edit").click()
            await expect(page.get_by_label("Message", exact=True)).to_have_value("Count again")
            await say(page, "Count backwards")
            await expect(turns(page).nth(1).locator(".reply")).to_have_text("You said: Count backwards")
            await expect(page.get_by_text("2 messages that the agent no longer remembers")).to_be_visible()

            model.replies.append(Gate("never"))
            await say(page, "Wait for ever")
            await expect(turns(page).nth(2)).to_contain_text("running")
            await page.keyboard.press("Escape")
            await expect(turns(page).nth(2)).to_contain_text("cancelled")


async def test_an_answer_goes_on_where_it_stopped_when_the_server_was_killed(tmp_path: Path, model: StubServer) -> None:
    gate = Gate(SENTENCE)
    model.replies.append(gate)
    with server_process(tmp_path, **environment(model)) as server:
        await server.ready()
        async with browser() as one, page_of(one, is_cut_off=True) as page:
            await page.goto(f"{server.url}/dashboard/#/play")
            await say(page, "Count")
            await model.received(1)
            gate.release(3)
            await expect(turns(page)).to_contain_text("one two three")
            server.kill()
            await page.get_by_label("Message", exact=True).fill("Typed meanwhile")
            again = Gate(SENTENCE)
            model.replies.append(again)
            with server_process(tmp_path, **environment(model), PORT=str(server.port)):
                again.release(2)
                await expect(turns(page).locator(".reply")).to_have_text("one two", timeout=30_000)
                again.release_all()
                await expect(turns(page).locator(".reply")).to_have_text(SENTENCE)
                await expect(turns(page)).to_contain_text("completed")
                await expect(page.get_by_label("Message", exact=True)).to_have_value("Typed meanwhile")


CHOOSE_AT_ONCE = """async () => {
  [...document.querySelectorAll("button")].find((each) => each.textContent === "New conversation").click();
  for (let turn = 0; turn < 100; turn++) await null; // the page is drawn, and no event of the browser has come yet
  const select = document.querySelector(".pane select");
  select.value = "steps";
  select.dispatchEvent(new Event("change", { bubbles: true }));
}"""


async def test_an_agent_that_is_chosen_at_once_is_for_the_new_conversation(tmp_path: Path) -> None:
    """The browser tells of a new address later, and the choice must not lead back to the old conversation."""
    agents = "chat=tests.graphs:steps,steps=tests.graphs:steps"
    async with live_server(settings_for(tmp_path, agents=agents)) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard/#/play/t-1?agent=chat")
        await expect(page.get_by_label("Agent")).to_have_value("chat")
        await page.evaluate(CHOOSE_AT_ONCE)
        await expect(page.get_by_label("Agent")).to_have_value("steps")
        assert page.url.endswith("#/play?agent=steps")


async def test_agents_with_tools_questions_and_forms(
    tmp_path: Path, model: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = "tools=tests.graphs:tools,asks=tests.graphs:approving,form=tests.graphs:any_state"
    model.replies.extend([ToolCall("_add", {"a": 1, "b": 2}), Answer("The sum is **3**.")])
    control = GraphControl(tmp_path)
    with server_process(tmp_path, **environment(model), **control.environment, AGENTS=agents) as server:
        await server.ready()
        async with browser() as one, page_of(one) as page:
            await page.goto(f"{server.url}/dashboard/#/play?agent=tools")
            await page.get_by_label("Attach an image").set_input_files(
                {"name": "dot.png", "mimeType": "image/png", "buffer": PIXEL}
            )
            await page.get_by_text("Options").click()
            await page.get_by_label("Metadata").fill("desk=4")
            await page.get_by_label("Priority").select_option("high")
            await say(page, "Add them")
            turn = turns(page).first
            await expect(turn.locator(".reply")).to_contain_text("The sum is 3.")
            await turn.get_by_text("Tool _add").click()
            await expect(turn.locator(".result")).to_have_text("3")
            await expect(turn.get_by_role("img", name="Attached image")).to_be_visible()
            await expect(turn.locator(".said")).to_contain_text("priority high · desk=4")
            await check_access(page)

            await page.get_by_role("button", name="New conversation").click()
            await page.get_by_label("Agent").select_option("asks")
            await say(page, "Order pencils")
            await page.get_by_role("textbox", name="Answer").fill("yes, blue ones")
            await page.reload()
            await expect(page.get_by_role("textbox", name="Answer")).to_have_value("yes, blue ones")
            await page.get_by_role("button", name="Send the answer").click()
            await expect(turns(page).locator(".reply")).to_contain_text("Heard: Order pencils")

            await page.get_by_role("button", name="New conversation").click()
            await page.get_by_role("button", name="Compare two agents").click()
            await page.get_by_label("Agent").nth(1).select_option("tools")
            await say(page, "Both of you")
            await expect(turns(page)).to_have_count(2)
            await expect(turns(page).nth(1).locator(".reply")).to_have_text("You said: Both of you")
            await check_access(page)

            await page.goto(f"{server.url}/dashboard/#/play?agent=form")
            await page.get_by_label("Question").fill("why")
            await page.get_by_role("button", name="Send", exact=True).click()
            await expect(turns(page).locator(".reply")).to_contain_text("WHY")


TYPES_AND_LEAVES = """
new MutationObserver((_, observer) => {
    const field = document.querySelector("form.answer textarea");
    if (!field) return;
    observer.disconnect();
    field.value = "At once";
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    dispatchEvent(new PageTransitionEvent("pagehide"));
    window.kept = Object.values(sessionStorage).filter((text) => text.includes("At once")).length;
}).observe(document, { childList: true, subtree: true });
"""
"""Types into the form of an answer as soon as it is there, before the page is drawn, and leaves the page."""


async def test_what_is_typed_at_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = GraphControl(tmp_path)
    for name, value in control.environment.items():
        monkeypatch.setenv(name, value)
    settings: Any = settings_for(tmp_path, agents="asks=tests.graphs:approving")
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        await page.add_init_script(TYPES_AND_LEAVES)
        await page.goto(f"{server.url}/dashboard/#/play")
        await say(page, "Order pencils")
        await expect(page.get_by_role("textbox", name="Answer")).to_be_visible()
        assert await page.evaluate("window.kept") == 1


async def test_what_was_typed_outlives_the_session(tmp_path: Path) -> None:
    settings: Any = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        key, second = await issue(server), await issue(server)
        await page.goto(f"{server.url}/dashboard/#/play")
        await page.get_by_label("API key or token").fill(key.text)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_label("Message", exact=True).fill("Long thought about")
        await manager(server).revoke(None, key.key.id)

        async def is_refused() -> bool:
            return (await page.request.get(f"{server.url}/queue")).status == 401

        await until(is_refused, "the session has ended")
        await page.keyboard.press("Enter")
        await page.get_by_label("API key or token").fill(second.text)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_label("Message", exact=True)).to_have_value("Long thought about")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(turns(page)).to_contain_text("Long thought about")
        await expect(turns(page)).to_contain_text("No worker is running")
