"""Pictures of the dashboard for README and documentation: `python -m tests.dashboard.pictures`.

They show a server of their own with made-up messages, in both themes. Without arguments, the pictures of the
documentation are made anew. With a folder, they are written there.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.browser import browser, page_of
from tests.dashboard.sample_agents import AGENTS
from tests.pages import DOCS
from tests.servers import LiveServer, live_server, settings_for, until

IMAGES = DOCS / "images"
THEMES = ("light", "dark")
SIZE = {"width": 1120, "height": 660}

SCREENS = {"pulse": "Ended", "messages": "Trains from Zurich to Milan", "attention": "Book these seats?"}
"""The screens, and a text of each that is there once it is loaded."""

WAITING = ("Hotels near the station in Milan", "The weather in Milan on Sunday", "A table for two at eight")


async def seed(server: LiveServer) -> None:
    """Submit messages that are completed, failed, asked about, and still waiting."""
    done = [
        await server.submit(f"Trains from {city} to Milan", agent="timetable", priority=priority)
        for city, priority in (("Bern", "low"), ("Lugano", "normal"), ("Basel", "high"), ("Zurich", "normal"))
    ]
    done += [
        await server.submit(f"Trains from Zurich to Atlantis, {n} persons", agent="timetable") for n in range(1, 4)
    ]
    done.append(await server.submit("Trains from Zurich to Milan yesterday", agent="timetable"))
    done += [
        await server.submit(f"Trains to Rome in {n} days", agent="timetable", thread_id="rome") for n in range(2, 5)
    ]
    asked = await server.submit("Book two seats to Milan this evening", agent="booking", thread_id="trip-to-milan")
    for each in done:
        await server.ended(each["message_id"])

    async def is_asked() -> bool:
        return str((await server.status(asked["message_id"]))["state"]) == "interrupted"

    await until(is_asked, "the agent asks")
    await server.client.post("/queue/pause")
    for text in WAITING:
        await server.submit(text, agent="timetable", priority="high" if "table" in text else "normal")


async def draw(page: Page, server: LiveServer, screen: str, to: Path) -> None:
    """Write a picture of a screen once it is loaded."""
    await page.goto(f"{server.url}/dashboard/#/{screen}")
    await expect(page.get_by_text(SCREENS[screen]).first).to_be_visible()
    await expect(page.get_by_role("button", name="live")).to_be_visible()
    await page.screenshot(path=to, animations="disabled")


async def main(folder: Path) -> None:
    """Write all pictures to a folder."""
    with tempfile.TemporaryDirectory() as data:
        settings = settings_for(Path(data), agents=AGENTS, worker_concurrency=4, max_attempts=1)
        async with live_server(settings) as server, browser() as one:
            await seed(server)
            for theme in THEMES:
                async with page_of(one, viewport=SIZE, color_scheme=theme) as page:
                    for screen in SCREENS:
                        await draw(page, server, screen, folder / f"dashboard-{screen}-{theme}.png")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
