"""Measures the dashboard on a server with 10,000 messages: `python -m tests.dashboard.figures [MESSAGES [PART...]]`.

It prints each figure with its goal: the time until the first paint, what a browser loads, the frames of a scroll, the
tasks of an answer of 5,000 tokens, what ten viewers cost the server, and how the heap of open pages grows with so many
messages. Parts are paint, scroll, answer, viewers and heap. Figures depend on the machine, so no test holds them.
Processor times depend less on what else it does than the times between frames.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from playwright.async_api import Browser, Page, expect

from bench.processes import processor_seconds
from tests.dashboard.browser import browser, page_of
from tests.dashboard.long_answer import CATEGORIES, LONG_MS, long_answers, measured, say
from tests.dashboard.sample_agents import AGENTS
from tests.servers import ServerProcess, cold_server_process, until

MESSAGES = 10_000
RUN = 500
BATCH = 500
TEXT = "Trains from Zurich to Milan on the day with the number {n}, with a seat at the window"

LOADS = 5
ROW_PIXELS = 36
WHEEL_PIXELS_A_SECOND = 18_000
PAGE_DOWNS = 720
ROWS_DOWN = 400
LONG_FRAME_MS = 32
FRAME_PIXELS = 300
"""The way that the wheel moves in a frame."""

TOKENS = 5_000

VIEWERS = 10
LIGHT_RATE = 5.0
ROUND_SECONDS = 20.0
ROUNDS = 3

HOUR_MESSAGES = 18_000
"""The messages of an hour under the light load, which are sent faster."""

HEAP_FACTOR = 20
FULL = 503
"""The reply of a full queue."""

SETTLE_SECONDS = 20.0
GOALS = {"paint": 500, "kilobytes": 150, "viewers": 2.0, "heap": 10}

FIRST_NUMBERS = """
new MutationObserver((_, observer) => {
  if (!document.querySelector(".pulse [data-part=figures]")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => (window.numbersAt = performance.now())));
}).observe(document, { childList: true, subtree: true });
"""
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
LOADED_BYTES = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const sum = (entries) => entries.reduce((total, each) => total + each.encodedBodySize, 0);
  const isFile = ({ name }) => new URL(name).pathname.includes("/dashboard");
  const files = all.filter(isFile);
  return [files.length, sum(files), sum(all.filter((each) => !isFile(each)))];
}"""
BEGIN_FRAMES = """() => {
  const rows = document.querySelector(".table .body > div");
  const frames = (window.framesOfScroll = { times: [], mostRows: 0, isOn: true });
  let last = performance.now();
  const step = (now) => {
    frames.times.push(now - last);
    last = now;
    frames.mostRows = Math.max(frames.mostRows, rows.childElementCount);
    if (frames.isOn) requestAnimationFrame(step);
  };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(step); });
}"""
END_FRAMES = "() => { const { framesOfScroll: frames } = window; frames.isOn = false; return frames; }"
TO_END = "(body) => { body.scrollTop = body.scrollHeight; }"
TO_BEGIN = "(body) => { body.scrollTop = 0; }"
BY_FRAMES = """(body, pixels) => new Promise((done) => {
  const step = () => {
    const before = body.scrollTop;
    body.scrollTop += pixels;
    if (body.scrollTop === before) done();
    else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


async def seed(client: httpx2.AsyncClient) -> None:
    """Store the messages. Some are run, the others cancelled before they start, which takes less time."""
    for first in range(0, MESSAGES, BATCH):
        if first == RUN:
            await idle(client)
            await client.post("/queue/pause")
        messages = [{"message": TEXT.format(n=first + n), "agent": "timetable"} for n in range(BATCH)]
        accepted = await client.post("/messages/batch", json={"messages": messages})
        accepted.raise_for_status()
        if first >= RUN:
            ids = [each["message_id"] for each in accepted.json()["messages"]]
            (await client.post("/messages/cancel", json={"message_ids": ids})).raise_for_status()
    await client.post("/queue/resume")


async def idle(client: httpx2.AsyncClient) -> None:
    """Wait until nothing is queued or runs."""

    async def is_idle() -> bool:
        counts = (await client.get("/stats")).json()["messages"]
        return not counts.get("queued") and not counts.get("processing")

    await until(is_idle, "all messages end", 300)


async def first_paint(one: Browser, url: str) -> None:
    """Load the page with an empty cache several times."""
    painted, numbers = [], []
    for _ in range(LOADS):
        async with page_of(one) as page:
            await page.add_init_script(FIRST_NUMBERS)
            await page.goto(f"{url}/dashboard/")
            await page.locator(".pulse [data-part=figures]").wait_for()
            await page.wait_for_timeout(1_000)
            painted.append(await page.evaluate(PAINTED))
            numbers.append(await page.evaluate("window.numbersAt"))
            files, of_files, of_data = await page.evaluate(LOADED_BYTES)
    say(f"first paint: {median(painted):.0f} ms ({min(painted):.0f}-{max(painted):.0f}), goal {GOALS['paint']}")
    say(f"first numbers: {median(numbers):.0f} ms ({min(numbers):.0f}-{max(numbers):.0f})")
    say(
        f"first screen: {of_files / 1000:.1f} kB compressed in {files} files, goal {GOALS['kilobytes']}, and"
        f" {of_data / 1000:.1f} kB of data"
    )


async def frames(one: Browser, page: Page, what: str, act: Callable[[], Awaitable[object]]) -> None:
    """Print the frames of an act, and then the tasks of the same act: to record tasks makes frames longer."""
    body = page.locator(".table .body")
    for is_traced in (False, True):
        await body.evaluate(TO_BEGIN)
        await body.hover()
        await body.focus()
        await page.wait_for_timeout(500)
        if is_traced:
            async with measured(one, page, what, long_ms=LONG_FRAME_MS):
                await act()
            continue
        await page.evaluate(BEGIN_FRAMES)
        await act()
        found = await page.evaluate(END_FRAMES)
        times, row = sorted(found["times"]), await body.evaluate("(body) => body.scrollTop") / ROW_PIXELS
        long = [round(each) for each in times if each > LONG_FRAME_MS]
        say(
            f"  {what}: to row {row:.0f} in {len(times)} frames, {len(long)} over {LONG_FRAME_MS} ms (goal 0),"
            f" the longest {times[-1]:.0f} ms, and at most {found['mostRows']} rows in the page; {long[-8:]}"
        )


async def work_of_frames(one: Browser, page: Page) -> None:
    """Print the processor time of the page's frames, of which each moves the list by the same number of rows."""
    body = page.locator(".table .body")
    await body.evaluate(TO_BEGIN)
    await page.wait_for_timeout(500)
    await one.start_tracing(page=page, categories=CATEGORIES)
    await body.evaluate(BY_FRAMES, FRAME_PIXELS)
    events = json.loads(await one.stop_tracing())["traceEvents"]
    names = {(each["pid"], each["tid"]) for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
    events = [each for each in events if (each["pid"], each["tid"]) in names and "tdur" in each]
    begins = sorted(each["ts"] for each in events if each["name"] == "FireAnimationFrame")
    spent: dict[int, float] = defaultdict(float)
    for each in events:
        if each["name"] == "RunTask":
            spent[bisect(begins, each["ts"])] += each["tdur"] / 1000
    times = sorted(spent.values())
    long = [round(each) for each in times if each > LONG_FRAME_MS]
    say(
        f"  {FRAME_PIXELS / ROW_PIXELS:.1f} rows a frame, processor time: {len(times)} frames, {len(long)} over"
        f" {LONG_FRAME_MS} ms (goal 0), half within {median(times):.1f},"
        f" 99 % within {times[len(times) * 99 // 100]:.1f}, the longest {times[-1]:.1f} ms; {long[-8:]}"
    )


async def scroll(one: Browser, url: str) -> None:
    """Load all rows of the list, then go through them by wheel and by keyboard."""
    async with page_of(one) as page:
        await page.goto(f"{url}/dashboard/#/messages")
        table, body = page.locator(".table"), page.locator(".table .body")
        await expect(body).to_be_visible()

        async def is_loaded() -> bool:
            await body.evaluate(TO_END)
            return int(await table.get_attribute("aria-rowcount") or 0) > MESSAGES

        await until(is_loaded, "all rows are loaded", 300)
        say(f"scroll through {int(await table.get_attribute('aria-rowcount') or 0) - 1} rows")
        place = await body.bounding_box()
        assert place is not None
        debugger = await page.context.new_cdp_session(page)

        async def wheel() -> None:
            await debugger.send(
                "Input.synthesizeScrollGesture",
                {
                    "x": place["x"] + place["width"] / 2,
                    "y": place["y"] + place["height"] / 2,
                    "yDistance": -MESSAGES * ROW_PIXELS,
                    "speed": WHEEL_PIXELS_A_SECOND,
                    "gestureSourceType": "mouse",
                },
            )

        async def press(key: str, times: int) -> None:
            for _ in range(times):
                await page.keyboard.press(key)

        await work_of_frames(one, page)
        await frames(one, page, "wheel", wheel)
        await frames(one, page, "Page Down", lambda: press("PageDown", PAGE_DOWNS))
        await frames(one, page, "j, row by row", lambda: press("j", ROWS_DOWN))


@contextlib.asynccontextmanager
async def load(client: httpx2.AsyncClient, rate: float) -> AsyncIterator[Callable[[], int]]:
    """Submit so many messages a second during the block, or as many as the queue takes.

    Give a function that returns how many were submitted.
    """
    sent = 0

    async def submit() -> None:
        nonlocal sent
        began = time.monotonic()
        while True:
            while sent < (time.monotonic() - began) * rate:
                body = {"message": TEXT.format(n=sent), "agent": "timetable"}
                reply = await client.post("/messages", json=body)
                if reply.status_code == FULL:
                    break
                reply.raise_for_status()
                sent += 1
            await asyncio.sleep(min(0.1, 1 / rate))

    task = asyncio.create_task(submit())
    try:
        yield lambda: sent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def share(server: ServerProcess, wait: Callable[[float], Awaitable[None]]) -> float:
    """Return the part of a core that the server takes for some time, in percent."""
    began, used = time.monotonic(), processor_seconds(server.process.pid)
    await wait(ROUND_SECONDS)
    return 100 * (processor_seconds(server.process.pid) - used) / (time.monotonic() - began)


async def viewers(one: Browser, server: ServerProcess, client: httpx2.AsyncClient) -> None:
    """Compare the server under a light load with and without open pages."""
    alone, watched = [], []
    async with load(client, LIGHT_RATE):
        for _ in range(ROUNDS):
            await asyncio.sleep(3)
            alone.append(await share(server, asyncio.sleep))
            async with contextlib.AsyncExitStack() as open_pages:
                for _ in range(VIEWERS):
                    page = await open_pages.enter_async_context(page_of(one))
                    await page.goto(f"{server.url}/dashboard/")
                    await expect(page.locator("[data-part=figures]")).to_be_visible()
                await asyncio.sleep(3)
                watched.append(await share(server, asyncio.sleep))
    more = [with_them - without for with_them, without in zip(watched, alone, strict=True)]
    for what, values in (("without viewers", alone), (f"with {VIEWERS}", watched), ("more", more)):
        rounds = ", ".join(f"{value:.1f}" for value in values)
        goal = f", goal {GOALS['viewers']:g}" if what == "more" else ""
        say(f"server at {LIGHT_RATE:g} messages/s, {what}: {median(values):.1f} % of a core ({rounds}){goal}")


async def used_by(page: Page) -> dict[str, float]:
    """Return the heap and the elements of a page after a collection of garbage."""
    debugger = await page.context.new_cdp_session(page)
    await debugger.send("Performance.enable")
    for _ in range(2):
        await debugger.send("HeapProfiler.collectGarbage")
    found: list[dict[str, Any]] = (await debugger.send("Performance.getMetrics"))["metrics"]
    await debugger.detach()
    return {each["name"]: each["value"] for each in found}


async def heap(one: Browser, url: str, client: httpx2.AsyncClient, messages: int) -> None:
    """Print how the heaps of open pages grow while so many messages run."""
    async with contextlib.AsyncExitStack() as open_pages:
        pages: dict[str, Page] = {}
        for screen, there in (("pulse", "[data-part=figures]"), ("messages", ".table .body")):
            pages[screen] = await open_pages.enter_async_context(page_of(one))
            await pages[screen].goto(f"{url}/dashboard/#/{screen}")
            await expect(pages[screen].locator(there)).to_be_visible()
        async with load(client, LIGHT_RATE * HEAP_FACTOR) as count:
            await asyncio.sleep(SETTLE_SECONDS)
            began, sent = time.monotonic(), count()
            before = {screen: await used_by(page) for screen, page in pages.items()}
            most: dict[str, float] = defaultdict(float)
            while count() - sent < messages:
                await asyncio.sleep(30)
                for screen, page in pages.items():
                    after, first = await used_by(page), before[screen]
                    grown = (after["JSHeapUsedSize"] - first["JSHeapUsedSize"]) / 1e6
                    most[screen] = max(most[screen], grown)
                    say(
                        f"heap of {screen} after {time.monotonic() - began:.0f} s and {count() - sent} messages:"
                        f" {grown:+.2f} MB (from {first['JSHeapUsedSize'] / 1e6:.2f}), at most {most[screen]:+.2f},"
                        f" goal {GOALS['heap']} in {HOUR_MESSAGES}; nodes {after['Nodes'] - first['Nodes']:+.0f},"
                        f" listeners {after['JSEventListeners'] - first['JSEventListeners']:+.0f}"
                    )


async def answer() -> None:
    """Print the long tasks of an answer of TOKENS, on a server of its own."""
    say(f"an answer of {TOKENS} tokens, goal: no task over {LONG_MS} ms of processor time")
    await long_answers(TOKENS)


PARTS = ("paint", "scroll", "answer", "viewers", "heap")


async def main(messages: int, *parts: str) -> None:
    """Print all figures of one server, or those of some parts."""
    folder = Path(tempfile.mkdtemp())
    environment = {"AGENTS": AGENTS, "WORKER_CONCURRENCY": "4", "LEASE_SECONDS": "30"}
    with cold_server_process(folder, **environment) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client, browser() as one:
            await seed(client)
            for part in parts or PARTS:
                if part == "paint":
                    await first_paint(one, server.url)
                elif part == "scroll":
                    await scroll(one, server.url)
                elif part == "answer":
                    await answer()
                elif part == "viewers":
                    await viewers(one, server, client)
                else:
                    await heap(one, server.url, client, messages)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else HOUR_MESSAGES, *sys.argv[2:]))
