"""Measures the screen of a message with a long answer: `python -m tests.dashboard.long_answer [TOKENS]`.

It prints the tasks that take the page more than 50 ms of processor time, and what they do: while the answer is written,
when it is opened afterwards, and while somebody goes back over its events. Figures depend on the machine, so no test
holds them.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from tests.dashboard.browser import browser, page_of
from tests.openai_stub import Answer, openai_stub
from tests.servers import live_server, settings_for

TOKENS = 20_000
PARAGRAPH = "A **long** answer has `many` words, and [links](https://example.org), of which this is one paragraph. " * 3
TABLE = "\n\n| Name | Value |\n|---|---|\n| one | 1 |\n| two | 2 |\n\n- an item\n- another\n\n"
CODE = "```python\nprint('hello')\n```\n\n"
STEPS = 40
MOVE = "(it, at) => { it.value = at * it.max; it.dispatchEvent(new Event('input', { bubbles: true })); }"
LONG_MS = 50
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"]


def answer_of(tokens: int, *, in_one_block: bool) -> str:
    """Return a text of so many words, in paragraphs, lists and tables, or without any break."""
    words: list[str] = []
    while len(words) < tokens:
        words.extend((PARAGRAPH if in_one_block else PARAGRAPH + TABLE + CODE).split(" "))
    return " ".join(words[:tokens])


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@asynccontextmanager
async def measured(one: Browser, page: Page, what: str, long_ms: int = LONG_MS) -> AsyncIterator[None]:
    """Print the long tasks of the block: how many, and of each its milliseconds and the longest things that it did."""
    await one.start_tracing(page=page, categories=CATEGORIES)
    yield
    events = json.loads(await one.stop_tracing())["traceEvents"]
    names = {(each["pid"], each["tid"]) for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
    events = [each for each in events if (each["pid"], each["tid"]) in names and "tdur" in each]
    tasks = [each for each in events if each["name"] == "RunTask"]
    long = [each for each in tasks if each["tdur"] > long_ms * 1000]
    say(f"  {what}: {len(long)} of {len(tasks)} tasks, the longest {max(each['tdur'] for each in tasks) / 1000:.0f} ms")
    for task in sorted(long, key=lambda each: -each["tdur"])[:5]:
        inside = [each for each in events if task["ts"] < each["ts"] < task["ts"] + task["dur"]]
        longest = sorted(inside, key=lambda each: -each["tdur"])[:6]
        parts = (f"{each['name']} {each['tdur'] / 1000:.0f}" for each in longest)
        say(f"    {task['tdur'] / 1000:.0f} ms: {', '.join(parts)}")


async def long_answers(tokens: int = TOKENS) -> None:
    """Print the long tasks of an answer in many blocks, then of one in a single block."""
    folder = Path(tempfile.mkdtemp())
    async with openai_stub() as stub, browser() as one, page_of(one) as page:
        page.set_default_timeout(300_000)
        expect.set_options(timeout=300_000)
        settings = settings_for(folder, processing_timeout=600, openai_base_url=stub.base_url, openai_api_key="sk-test")
        async with live_server(settings) as server:
            for in_one_block in (False, True):
                say("in one block" if in_one_block else "in many blocks")
                stub.replies.append(Answer(answer_of(tokens, in_one_block=in_one_block), delay_per_token=0.001))
                submitted = await server.submit("Say much")
                await page.goto("about:blank")
                async with measured(one, page, "while it is written"):
                    await page.goto(f"{server.url}/dashboard/#/message/{submitted['message_id']}")
                    await page.locator(
                        ".facts .badge[data-kind=good]"
                    ).wait_for()  # a search for a text would be a long task
                slider = page.get_by_label("The answer after event")
                async with measured(one, page, "when it is opened"):
                    await page.reload()
                    await expect(slider).to_be_visible()
                    await page.wait_for_timeout(3_000)
                async with measured(one, page, "going back over its events"):
                    for step in range(STEPS):
                        await slider.evaluate(MOVE, abs(1 - 2 * step / STEPS))
                        await page.wait_for_timeout(50)
                say(f"  events: {await slider.get_attribute('max')}")


if __name__ == "__main__":
    asyncio.run(long_answers(*map(int, sys.argv[1:])))
