"""The screen of one message in a browser: its time axis, its answer, its events, and what can be done with it."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from app.access.scopes import AccessScope
from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_interrupts import interrupted
from tests.integration.test_keys import issue
from tests.openai_stub import Answer, Gate, StubServer, ToolCall
from tests.servers import ROOT, LiveServer, until

HOSTILE = (
    "# Oslo\n\n<script>document.title = 'hit'</script><img src=x onerror=\"document.title='hit'\">\n\n"
    "![a cat](https://evil.example/cat.png) [safe](javascript:alert(1)) " + "w" * 400 + "\n\n"
)
GROWS = """Words *with* a [link](https://example.org).

- an item

- another one
  with a second line

  1. inside

| a | b |
|---|---|
| 1 | 2 |

```python
print("no end yet")

# not a heading
```

> quoted
still quoted

Title
=====

<div>

raw</div>

"""
GROW = """async (texts) => {
  const assets = document.querySelector('script[type="module"]').src.replace("main.js", "");
  const { Blocks } = await import(`${assets}components/markdown-blocks.js`);
  const whole = (blocks, text) => {
    do blocks.take(text); while (!blocks.isComplete(text));
    return blocks.raws.join("|");
  };
  return texts.filter((text) => {
    const grown = new Blocks();
    const step = Math.max(3, Math.round(text.length / 300));
    for (let length = 0; length < text.length; length += step) whole(grown, text.slice(0, length));
    const isSame = whole(grown, text) === whole(new Blocks(), text) && grown.raws.join("") === text;
    return !isSame || grown.raws.some(({ length }) => length > 2_000);
  });
}"""
"""Reads texts that grow, and returns those whose blocks are long, or others than those of the whole text."""

LONG_BLOCKS = [
    "One *sentence* of a [long](https://example.org) paragraph. " * 100,
    "words without an end " * 300,
    "w" * 5_000,
    "".join(f"{number}. item\n   with `code`\n" for number in range(300)) + "\nThe end",
]
"""Paragraphs and lists that are shown in parts."""

WORDS = "Oslo is the capital of Norway. " * 20


async def show(page: Page, server: LiveServer, message_id: str, query: str = "") -> None:
    await page.goto(f"{server.url}/dashboard/#/message/{message_id}{query}")


async def accessible(page: Page) -> None:
    """Fails if the page has a fault in the light or in the dark theme, or is wider than the window."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await faults_of_access(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_message_is_seen_live_on_one_time_axis_and_replayed(
    serve: Serve, control: GraphControl, model: StubServer
) -> None:
    server = await serve(agents="chat=tests.graphs:tools", worker_concurrency=1)
    gate = Gate(HOSTILE + WORDS)
    model.replies.extend([ToolCall("_add", {"a": 1, "b": 2}), gate])
    first = await server.submit("What is Oslo?", thread_id="trip", events=["node"])
    behind = await server.submit("And Peru?", thread_id="trip", priority="low")
    async with browser() as one, page_of(one) as page:
        await show(page, server, behind["message_id"])
        await expect(page.get_by_text("of its thread is processing").first).to_be_visible()
        await page.get_by_label("Priority").select_option("high")
        await expect(page.get_by_role("status").filter(has_text="The priority is high now.")).to_be_visible()

        await show(page, server, first["message_id"])
        answer = page.get_by_role("region", name="Answer", exact=True)
        await expect(page.get_by_text("running").first).to_be_visible()
        gate.release(12)
        await expect(answer.get_by_role("heading", name="Oslo")).to_be_visible()
        await expect(answer.get_by_text("[image: a cat]")).to_be_visible()
        assert await answer.locator("img, script, a[href^='javascript']").count() == 0
        gate.release_all()
        await expect(page.get_by_text("completed").first).to_be_visible()
        await expect(answer.get_by_text("tokens a second")).to_be_visible()
        assert await page.title() == "Message · Agent Queue System"
        await accessible(page)

        assert await page.evaluate(GROW, [HOSTILE + GROWS, GROWS * 3, *LONG_BLOCKS]) == []

        axis = page.get_by_role("region", name="Time axis")
        for bar in ("In the queue", "Attempt 1", "tools", "model", "_add"):
            await expect(axis.get_by_role("button", name=bar).first).to_be_visible()
        await axis.get_by_role("button", name="In the queue").focus()
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await expect(axis.get_by_role("status")).to_contain_text("first token after")
        await page.keyboard.press("Enter")
        await expect(axis.get_by_role("button", name="Show all")).to_be_visible()
        await page.keyboard.press("Escape")
        await axis.get_by_text("As a table").click()
        await expect(axis.get_by_role("row").filter(has_text="Tool calls")).to_contain_text("_add")

        events = page.get_by_role("region", name="Events", exact=True)
        await events.get_by_label("Kind").select_option("tool call")
        assert page.url.endswith("?kind=tool+call")
        await events.get_by_role("row").nth(1).click()
        await expect(events.get_by_label("Data of the event")).to_contain_text('"name": "_add"')
        await expect(answer.get_by_text("Nothing was written yet.")).to_be_visible()
        await answer.get_by_label("Speed").select_option("16")
        await answer.get_by_role("button", name="Play").click()
        await expect(answer.get_by_role("heading", name="Oslo")).to_be_visible()
        await expect(answer.get_by_text("as it was after event")).to_have_count(0)
        await answer.get_by_label("The answer after event").press("Home")
        await expect(answer.get_by_role("heading", name="Oslo")).to_have_count(0)
        await answer.get_by_role("button", name="To the end").click()
        await expect(answer.get_by_role("heading", name="Oslo")).to_be_visible()

        await server.ended(behind["message_id"])
        await show(page, server, behind["message_id"])
        await expect(axis.get_by_role("status")).to_contain_text(f"It waited for message {first['message_id']}")


async def test_a_failed_message_is_explained_copied_and_sent_again_with_other_words(
    serve: Serve, control: GraphControl, tmp_path: Path
) -> None:
    server = await serve(agents="flaky=tests.graphs:flaky")
    good = await server.submit("Works")
    await server.ended(good["message_id"])
    control.crash("flaky")
    said = '-it\'s `odd`, $HOME\nand "quoted"'
    options = {"thread_id": "odd's", "metadata": {"team": "red"}, "priority": "high", "max_attempts": 1}
    failed = await server.submit(said, **options)
    await server.ended(failed["message_id"])
    async with browser() as one, page_of(one) as page:
        await show(page, server, failed["message_id"])
        await expect(page.get_by_role("button", name="Attempt 1")).to_be_visible()
        await expect(page.get_by_role("region", name="Errors")).to_contain_text("_flaky")
        await expect(page.get_by_role("region", name="Last good message")).to_contain_text("It works.")
        await accessible(page)

        texts = {}
        await page.keyboard.press("y")
        for name in ("curl", "Python", "TypeScript", "Command line"):
            await page.get_by_role("button", name=name).click()
            texts[name] = await page.get_by_label("Text to copy").inner_text()
        await page.keyboard.press("Escape")
        for name in ("curl", "Command line"):
            await run(texts[name], tmp_path)
        listed = (await server.client.get("/messages", params={"thread_id": "odd's"})).json()["messages"]
        assert [each["user_message"] for each in listed] == [said] * 3
        assert [each["metadata"] for each in listed] == [{}, {"team": "red"}, {"team": "red"}]
        assert [each["priority"] for each in listed] == ["high"] * 3
        compile(texts["Python"], "python", "exec")

        await page.keyboard.press("e")
        field = page.get_by_role("textbox", name="Message")
        await expect(field).to_have_value(said)
        await field.fill("   ")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("dialog").get_by_role("alert")).not_to_be_empty()
        await field.fill("Better words")
        await page.reload()
        await page.get_by_role("button", name="Edit and send again").click()
        await expect(field).to_have_value("Better words")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("heading", name="Better words")).to_be_visible()
        await expect(page.get_by_text("odd's")).to_be_visible()

        await show(page, server, failed["message_id"])
        await expect(page.get_by_role("button", name="Retry")).to_be_visible()
        await page.keyboard.press("r")
        await expect(page.get_by_role("region", name="Answer", exact=True)).to_contain_text("It works.")
        await expect(page.get_by_text("Earlier events are no longer kept")).to_have_count(0)  # this page has seen them


async def run(command: str, folder: Path) -> None:
    """Run a copied text in a shell as a person would. Fails if it does not end with 0."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    agentq = folder / "agentq"
    agentq.write_text(f'#!/bin/sh\nexec {sys.executable} -m app.cli "$@"\n')
    agentq.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", command),
        env={**environment, "PATH": f"{folder}:{path}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_questions_are_answered_by_forms(serve: Serve) -> None:
    server = await serve(agents="asks=tests.dashboard.graphs:asks")
    properties = {
        "city": {"type": "string", "title": "City"},
        "days": {"type": "integer"},
        "class": {"enum": ["first", "second"]},
        "night": {"type": "boolean"},
        "more": {"type": "object", "properties": {"tags": {"type": "array"}}},
    }
    schema = {"type": "object", "required": ["city", "days"], "properties": properties}
    form = await ask(server, {"question": "<b>Where to?</b>", "schema": schema})
    choice = await ask(server, {"question": "Which?", "options": [{"label": "Red", "value": 1}, "Blue"]})
    configs = [{"action_name": "mail", "allowed_decisions": ["approve", "edit", "reject"]}]
    call = await ask(server, {"action_requests": [{"name": "mail", "args": {"to": "Bo"}}], "review_configs": configs})
    plain = await ask(server, "Your name?")
    async with browser() as one, page_of(one) as page:
        await show(page, server, form)
        await expect(page.get_by_text("<b>Where to?</b>").first).to_be_visible()
        for typed, words in (("many", "Type a number."), ("2.5", "Type a whole number."), (" ", "Fill this in.")):
            await page.get_by_label("days").fill(typed)
            await page.get_by_role("button", name="Send the answer").click()
            await expect(page.get_by_text(words)).to_be_visible()
        await page.get_by_label("City").fill("Oslo")
        await page.get_by_label("days").fill("3")
        await page.get_by_label("class").select_option("second")
        await page.get_by_label("tags").fill('["sea"]')
        await accessible(page)
        await page.reload()
        await expect(page.get_by_label("City")).to_have_value("Oslo")
        await page.get_by_role("button", name="Send the answer").click()
        given = {"city": "Oslo", "days": 3, "class": "second", "night": False, "more": {"tags": ["sea"]}}
        assert await answer_of(server, form) == given
        await expect(page.get_by_text("completed").first).to_be_visible()
        await expect(page.get_by_role("button", name="For a person's answer")).to_be_visible()

        await show(page, server, choice)
        await page.get_by_role("button", name="Red").click()
        assert await answer_of(server, choice) == 1

        await show(page, server, call)
        await page.get_by_label("Approve with other arguments").check()
        await page.get_by_label("Arguments as JSON").fill('{"to": "Al"}')
        await page.get_by_role("button", name="Send the answer").click()
        edited = {"type": "edit", "edited_action": {"name": "mail", "args": {"to": "Al"}}}
        assert await answer_of(server, call) == {"decisions": [edited]}

        await show(page, server, plain)
        await page.get_by_label("Answer with JSON instead").check()
        await page.get_by_label("Answer as JSON").fill('{"name": ')
        await page.get_by_role("button", name="Send the answer").click()
        await expect(page.get_by_text("Type JSON, such as")).to_be_visible()
        await page.get_by_label("Answer as JSON").fill('{"name": "Bo"}')
        await page.get_by_role("button", name="Send the answer").click()
        assert await answer_of(server, plain) == {"name": "Bo"}


async def ask(server: LiveServer, question: Any) -> str:
    """Return the id of a message whose agent asks this."""
    message_id: str = (await server.submit(json.dumps(question)))["message_id"]
    await interrupted(server, message_id)
    return message_id


async def answer_of(server: LiveServer, message_id: str) -> Any:
    """Return the answer that the agent got."""
    result: str = (await server.ended(message_id))["result"]
    return json.loads(result.removeprefix("You answered "))


async def test_what_is_gone_is_said_in_words_and_viewers_cannot_act(serve: Serve, model: StubServer) -> None:
    server = await serve(event_retention_hours=1e-9)
    gate = Gate("Some words that stay")
    model.replies.extend([Answer("Kept as the result"), gate])
    pruned = (await server.submit("Pruned"))["message_id"]
    await server.ended(pruned)
    await until(lambda: _is_pruned(server, pruned), "the log is pruned")
    running = (await server.submit("Deleted soon", thread_id="short"))["message_id"]
    gate.release(3)
    async with browser() as one, page_of(one) as page:
        await show(page, server, "nothing-here")
        await expect(page.get_by_role("heading", name="There is no such message")).to_be_visible()
        await expect(page.get_by_role("link", name="Show all messages")).to_be_visible()
        await accessible(page)
        await show(page, server, pruned)
        await expect(page.get_by_text("Kept as the result").first).to_be_visible()
        await expect(page.get_by_text("Earlier events are no longer kept")).to_be_visible()
        await expect(page.get_by_role("button", name="Attempt 1")).to_be_visible()

        await show(page, server, running)
        await expect(page.get_by_text("Some words that").first).to_be_visible()
        await page.keyboard.press("c")
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.get_by_text("cancelled").first).to_be_visible()
        await server.ended(running)
        deleted = await server.client.delete("/threads/short")
        assert deleted.status_code < 300, deleted.text
        await expect(page.get_by_text("This message was deleted.")).to_be_visible()
        await expect(page.get_by_text("Some words that").first).to_be_visible()

        key = await issue(server, AccessScope.READ)
        await show(page, server, pruned)
        await page.reload()
        await page.get_by_label("API key or token").fill(key.text)
        await page.get_by_role("button", name="Sign in").click()
        edit = page.get_by_role("button", name="Edit and send again")
        await expect(edit).to_be_disabled()
        await expect(edit).to_have_attribute("title", "Needs the scope submit, which you do not have.")


async def _is_pruned(server: LiveServer, message_id: str) -> bool:
    await server.runtime._maintenance.prune()
    events: list[Any] = (await server.client.get(f"/messages/{message_id}/events")).json()["events"]
    return len(events) == 1
