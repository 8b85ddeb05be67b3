"""Pictures of the commands on terminals of three widths: `python -m tests.pictures FOLDER`.

Each command runs on a terminal of its own, against a server with made-up messages. Without a folder, the pictures
of the documentation are made anew.
"""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.tools import tool
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from tests.openai_stub import Answer, ReceivedRequest, Status, Step, ToolCall, openai_stub
from tests.pages import DOCS
from tests.screens import OnTerminal
from tests.servers import LiveServer, live_server, settings_for, until

WIDTHS = (60, 80, 120)
ROWS = 28
IMAGES = DOCS / "images"
OF_DOCS = {"chat": 80, "top": 100}
"""Pictures of the documentation, and their widths in columns."""

QUESTION = "Which train goes from Zurich to Milan this evening?"
ANSWER = """**Two trains** go this evening:

| Train | Leaves | Arrives |
|---|---|---|
| EC 323 | 19:33 | 22:50 |
| EC 325 | 20:33 | 23:50 |

- The first one has a **dining car**.
- Both need a reservation, such as:

```python
book(train="EC 323", seats=2)
```

"""
LONG_ANSWER = ANSWER + "Shall I book one of them for you, and look for a hotel near the station in Milan? " * 40

FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own format, without the fonts of a server on the internet."""


@tool
def timetable(start: str, end: str, after: str) -> str:
    """Find trains."""
    return "EC 323 19:33 22:50, EC 325 20:33 23:50"


def travel() -> Any:
    """Return an agent with a tool."""
    return create_agent(init_chat_model("openai:gpt-4", max_retries=0, stream_usage=True), tools=[timetable])


def reply(request: ReceivedRequest) -> Step:
    """Return what the model says."""
    last = request.body["messages"][-1]
    if last["role"] == "tool":
        return Answer(LONG_ANSWER, delay_per_token=0.02)
    text = last["content"]
    if text == QUESTION:
        return ToolCall("timetable", {"start": "Zurich", "end": "Milan", "after": "19:00"})
    if text.startswith("Translate"):
        return Status(400)
    return Answer(f"{text} " * 200, delay_per_token=0.05) if text.startswith("Summarise") else Answer(ANSWER)


PUBLIC = "http://localhost:8000"
"""The address that the pictures show in place of the server's own."""

Scene = Callable[[LiveServer, int], Awaitable[OnTerminal]]


async def chat(server: LiveServer, width: int) -> OnTerminal:
    """Draw a chat whose answer is being written, with a line that waits behind."""
    terminal = opened(server, width, "chat", "--thread", f"evening-{width}", "--agent", "travel")
    await until(lambda: "/help" in terminal.text, "the chat has begun")
    terminal.type(f"{QUESTION}\r")
    await until(lambda: "Shall I book" in terminal.text, "the answer is written")
    terminal.type("And back on Sunday?\r")
    await until(lambda: "queued behind" in terminal.text, "the line waits")
    terminal.type("First class, ple")
    await until(lambda: "First class, ple" in terminal.text, "a line is typed")
    return terminal


async def top(server: LiveServer, width: int) -> OnTerminal:
    """Draw a queue with messages of all kinds."""
    terminal = opened(server, width, "top")
    await until(lambda: "FAILED" in terminal.text and "tok" in terminal.text, "the queue is shown")
    terminal.type("j")
    await until(lambda: "▸" in terminal.text, "a message is chosen")
    await until(lambda: "~0/s" not in terminal.text, "rates are known")
    return terminal


async def command(server: LiveServer, width: int, *arguments: str) -> OnTerminal:
    """Draw a command that has ended."""
    terminal = opened(server, width, *arguments)
    await until(lambda: terminal.process.poll() is not None, "the command ends")
    return terminal


def opened(server: LiveServer, width: int, *arguments: str) -> OnTerminal:
    database = {"DATABASE_URL": server.runtime.settings.database_url}
    return OnTerminal(server.url, *arguments, columns=width, rows=ROWS, environment=database)


async def seeded(server: LiveServer) -> dict[str, str]:
    """Submit messages of all kinds, and return those that have ended by their state."""
    failed = await server.submit("Translate the contract into Finnish", agent="travel")
    done = await server.submit("Which museums of Milan open on Sunday?", agent="travel", thread_id="milan")
    for message in (failed, done):
        await server.ended(message["message_id"])
    for month in ("October", "November"):
        await server.submit(f"Summarise the reports of {month}", agent="travel")
    waiting = [("high", "Answer the customer of order 4711"), ("normal", "Sort the letters of this morning"),
               ("normal", "Find the cheapest flight to Lisbon"), ("low", "Write a poem about queues")]  # fmt: skip
    for priority, text in waiting:
        await server.submit(text, agent="travel", priority=priority, thread_id=f"order-{text[:4].strip().lower()}")
    return {"failed": failed["message_id"], "done": done["message_id"]}


def scenes(ids: dict[str, str]) -> dict[str, Scene]:
    """Return how each picture is made, by its name."""
    return {
        "top": top,
        "follow": lambda server, width: command(server, width, "follow", ids["done"]),
        "ls": lambda server, width: command(server, width, "ls"),
        "status": lambda server, width: command(server, width, "status", ids["failed"]),
        "doctor": lambda server, width: command(server, width, "doctor", "--url", server.url),
    }


def picture(terminal: OnTerminal, title: str) -> str:
    """Return the screen as SVG."""
    lines = [row_text(terminal, number) for number in range(terminal.screen.lines)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(record=True, width=terminal.screen.columns, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(line, no_wrap=True, crop=True, markup=False, highlight=False)
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, code_format=FORMAT, unique_id="agentq")
    return svg.replace(f"{terminal.url}&#160;", f"{PUBLIC:<{len(terminal.url) + 1}}".replace(" ", "&#160;"))


def row_text(terminal: OnTerminal, number: int) -> Text:
    """Return a row of the screen with its colours."""
    row, shown = terminal.screen.buffer[number], Text()
    cells = (row[column] for column in range(terminal.screen.columns))
    for style, alike in groupby(cells, style_of):
        shown.append("".join(cell.data for cell in alike), style)
    return shown


def style_of(char: Char) -> Style:
    def colour(name: str) -> str | None:
        if name == "default":
            return None
        known = name.replace("bright", "bright_").replace("brown", "yellow")
        return f"#{name}" if len(name) == 6 and all(each in "0123456789abcdef" for each in name) else known

    return Style(
        color=colour(char.fg), bgcolor=colour(char.bg), bold=char.bold, italic=char.italics,
        underline=char.underscore, reverse=char.reverse,
    )  # fmt: skip


async def draw(folder: Path, wanted: Mapping[str, tuple[int, ...]], *, names_have_widths: bool) -> None:
    """Make the pictures with these names and widths."""

    async def drawn(server: LiveServer, name: str, scene: Scene) -> None:
        for width in wanted.get(name, ()):
            terminal = await scene(server, width)
            try:
                svg = picture(terminal, f"agentq {name}")
                (folder / (f"{name}-{width}.svg" if names_have_widths else f"{name}.svg")).write_text(svg, "utf-8")
            finally:
                terminal.close()

    async with openai_stub(reply) as stub:
        os.environ |= {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "none"}
        given = {"agents": "travel=tests.pictures:travel", "max_attempts": 1, "log_level": "ERROR", "port": 8000}
        with tempfile.TemporaryDirectory() as data:
            async with live_server(settings_for(Path(data), worker_concurrency=4, **given)) as server:
                await drawn(server, "chat", chat)
        with tempfile.TemporaryDirectory() as data:
            async with live_server(settings_for(Path(data), worker_concurrency=2, **given)) as server:
                for name, scene in scenes(await seeded(server)).items():
                    await drawn(server, name, scene)


if __name__ == "__main__":
    socket.gethostname = lambda: "host-1"
    if len(sys.argv) > 1:
        every = dict.fromkeys(("chat", "top", "follow", "ls", "status", "doctor"), WIDTHS)
        asyncio.run(draw(Path(sys.argv[1]), every, names_have_widths=True))
    else:
        asyncio.run(draw(IMAGES, {name: (width,) for name, width in OF_DOCS.items()}, names_have_widths=False))
