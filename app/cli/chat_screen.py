"""The terminal of `agentq chat`: what was said stays above, the line that is typed stays below."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.shortcuts import print_formatted_text

from .conversation import Conversation, new_thread_id, texts_of
from .failures import DONE, INTERRUPTED
from .markdown import PORTION, portions, render, tail
from .screen_tasks import begin
from .terminal import clean, on_line

if TYPE_CHECKING:
    from rich.console import Console

    from ..client import AsyncAgentQ
    from .session import Session

REDRAW_SECONDS = 0.05
TICK_SECONDS = 1.0
"""How often the time of a running answer is drawn anew."""

DRAWING_SHARE = 5
"""The part of the time, one in so many, that may be spent on drawing the block that is being written."""

SHOWN_BEHIND = 3
FEWEST_ROWS = 3
FREE_ROWS = 8
"""Rows of the screen that the answer that is being written leaves to what is above and below."""

HELP = (
    "/stop        stop the answer, as Ctrl-C does",
    "/retry       answer the last message anew",
    "/new         begin another conversation",
    "/thread ID   go to a conversation; without ID, name this one",
    "/json VALUE  answer a question with a JSON value",
    "/quit        leave, as Ctrl-D does; what runs goes on",
    "Enter sends, Alt-Enter begins a new line, //text sends a text that begins with /.",
)


class Piece(NamedTuple):
    """A text that is printed above the line that is typed: Markdown with a gap before it, or a text with styles."""

    text: str
    is_markdown: bool = False
    gap: str = ""


class ChatScreen:
    """A screen with one conversation at a time. It is the view of that conversation."""

    def __init__(self, session: "Session", client: "AsyncAgentQ", *, thread_id: str | None, agent: str | None) -> None:
        self._session = session
        self._client = client
        self._agent = agent
        self._unprinted: deque[Piece] = deque()
        self._is_below_block = False
        self._printing = asyncio.Event()
        self._drawn = ("", 0, "")
        self._may_draw_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._commands: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
            "/stop": self._stop, "/retry": self._retry, "/new": self._new, "/thread": self._thread,
            "/json": self._json, "/help": self._help, "/quit": self._quit,
        }  # fmt: skip
        self._input = Buffer(multiline=True, history=InMemoryHistory(), accept_handler=self._accept)
        self._conversation = self._make(thread_id or new_thread_id())
        self._app = self._application()

    async def run(self) -> int:
        """Show the screen until the person leaves, and return the exit code."""
        code = await self._app.run_async(pre_run=self._start)
        unfinished = self._conversation.turn is not None or bool(self._conversation.behind)
        if live := self._conversation.live:
            self.show(live)
        while self._unprinted:
            self._write()
        await self._end_conversation()
        terminal = self._session.terminal
        for text in self._conversation.unsent:
            terminal.note(f"not sent: {text}")
        if unfinished:
            terminal.note("What has not ended goes on.")
        terminal.note(f"Come back: {self._way_back()}")
        return code

    # The view

    def say(self, text: str) -> None:
        """Show what the person has said."""
        lines = clean(text).splitlines() or [""]
        marked = [f"{' ' if at else '>'} {line}\n" for at, line in enumerate(lines)]
        self._add(Piece(f"\n\x1b[1m{''.join(marked)}\x1b[0m"))

    def show(self, markdown: str) -> None:
        """Show finished blocks of an answer."""
        for part, begins_block in portions(markdown):
            self._add(Piece(part, is_markdown=True, gap=self._gap() if begins_block else ""))

    def note(self, text: str) -> None:
        """Show a line about the conversation."""
        self._add(Piece(f"\x1b[2m{on_line(text)}\x1b[0m\n"))

    def give_back(self, text: str) -> None:
        """Put a line that was not sent back to where it was typed."""
        if self._input.text:
            self.note(f"not sent: {text}")
        else:
            self._input.text = text

    def changed(self) -> None:
        """Draw what changes in place anew."""
        self._app.invalidate()

    def _gap(self) -> str:
        """Return the blank line between two blocks."""
        return "\n" if self._is_below_block else ""

    def _add(self, piece: Piece) -> None:
        self._is_below_block = piece.is_markdown
        self._unprinted.append(piece)
        self._printing.set()

    async def _print_all(self) -> None:
        while True:
            await self._printing.wait()
            while self._unprinted:
                await run_in_terminal(self._write)
            self._printing.clear()

    def _write(self) -> None:
        """Print what is not printed yet, up to one portion of Markdown. Keys are read between two calls."""
        texts, room = [], PORTION
        while self._unprinted and room > 0:
            piece = self._unprinted.popleft()
            room -= len(piece.text)
            texts.append(piece.gap + render(self._console(), piece.text) if piece.is_markdown else piece.text)
        if texts:
            print_formatted_text(ANSI("".join(texts)), end="", output=self._app.output)

    def _console(self) -> "Console":
        return self._session.terminal.console(self._session.terminal.stdout)

    # The part that changes in place

    def _application(self) -> Application[int]:
        live = Window(FormattedTextControl(self._live), wrap_lines=False, dont_extend_height=True)
        behind = Window(FormattedTextControl(self._behind), dont_extend_height=True)
        state = Window(FormattedTextControl(self._state), height=1)
        before = BeforeInput(lambda: "answer> " if self._conversation.asked else "> ", style="bold")
        typed = Window(
            BufferControl(self._input, input_processors=[before]),
            height=Dimension(min=1, max=FREE_ROWS // 2), wrap_lines=True, dont_extend_height=True,
        )  # fmt: skip
        rows = [
            ConditionalContainer(live, Condition(lambda: bool(self._conversation.live))),
            ConditionalContainer(state, Condition(lambda: bool(self._conversation.status))),
            ConditionalContainer(behind, Condition(lambda: bool(self._waiting()))),
            typed,
        ]
        return Application(
            Layout(HSplit(rows), focused_element=typed), key_bindings=self._keys(), erase_when_done=True,
            min_redraw_interval=REDRAW_SECONDS, refresh_interval=TICK_SECONDS,
        )  # fmt: skip

    def _live(self) -> ANSI:
        shown = self._draw(self._conversation.live).splitlines(keepends=True)
        return ANSI("".join(shown[-max(self._app.output.get_size().rows - FREE_ROWS, FEWEST_ROWS) :]))

    def _draw(self, text: str) -> str:
        """Return the block that is being written as it is shown. A long one is drawn less often."""
        if not text:
            return ""
        size = self._app.output.get_size()
        width = size.columns
        began = time.monotonic()
        if self._drawn[:2] != (text, width) and began >= self._may_draw_at:
            self._drawn = (text, width, render(self._console(), tail(text, size.rows * width)))
            self._may_draw_at = began + (time.monotonic() - began) * DRAWING_SHARE
        return self._gap() + self._drawn[2]

    def _waiting(self) -> list[str]:
        return texts_of(self._conversation.behind, self._conversation.unsent)

    def _behind(self) -> StyleAndTextTuples:
        waiting = self._waiting()
        lines = [f"queued behind: {text}" for text in waiting[:SHOWN_BEHIND]]
        if len(waiting) > SHOWN_BEHIND:
            lines.append(f"and {len(waiting) - SHOWN_BEHIND} more")
        return [("fg:ansibrightblack", "\n".join(self._cut(line) for line in lines))]

    def _state(self) -> StyleAndTextTuples:
        return [("fg:ansicyan", self._cut(on_line(self._conversation.status)))]

    def _cut(self, line: str) -> str:
        from rich.text import Text

        shown = Text(line)
        shown.truncate(self._app.output.get_size().columns - 1, overflow="ellipsis")
        return shown.plain

    # Keys and lines

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def send(_: KeyPressEvent) -> None:
            self._input.validate_and_handle()

        @keys.add("escape", "enter")
        def begin_line(_: KeyPressEvent) -> None:
            self._input.insert_text("\n")

        @keys.add("c-c")
        @keys.add("<sigint>")  # Ctrl-C while lines are printed above
        def stop_or_leave(_: KeyPressEvent) -> None:
            self._do(self._interrupt())

        @keys.add("c-z")
        def suspend(event: KeyPressEvent) -> None:
            event.app.suspend_to_background()

        @keys.add("c-d", filter=Condition(lambda: not self._input.text))
        def leave(_: KeyPressEvent) -> None:
            self._leave(DONE)

        return keys

    def _accept(self, buffer: Buffer) -> bool:
        line = buffer.text.rstrip()
        if not line.strip():
            return False
        word, _, rest = line.partition(" ")
        if line.startswith("//"):
            self._take(line[1:])
        elif word in self._commands:
            self._do(self._commands[word](rest.strip()))
        elif word.startswith("/"):
            self._do(self._refuse(word))
        else:
            self._take(line)
        return False

    def _take(self, line: str) -> None:
        if self._conversation.asked:
            self._do(self._conversation.answer(line))
        else:
            self._conversation.send(line)

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        begin(self._app, action)

    async def _interrupt(self) -> None:
        if await self._conversation.stop():
            return
        if self._conversation.turn is None and self._input.text:
            self._input.reset()
            return
        self._leave(INTERRUPTED)

    def _leave(self, code: int) -> None:
        if not self._app.is_done:
            self._app.exit(result=code)

    # Commands

    async def _stop(self, _: str) -> None:
        if not await self._conversation.stop():
            self.note("No answer is being written.")

    async def _retry(self, _: str) -> None:
        await self._conversation.retry()

    async def _new(self, _: str) -> None:
        self.note(f"Come back: {self._way_back()}")
        await self._enter(new_thread_id())

    async def _thread(self, given: str) -> None:
        if given:
            await self._enter(given)
        else:
            self.note(f"This conversation is {self._conversation.thread_id}")

    async def _json(self, given: str) -> None:
        try:
            value = json.loads(given)
        except (ValueError, RecursionError):
            self.note("Give a JSON value, such as: /json true")
            return
        await self._conversation.answer_value(value)

    async def _help(self, _: str) -> None:
        for line in HELP:
            self._add(Piece(f"{line}\n"))

    async def _refuse(self, word: str) -> None:
        self.note(f"There is no command {word}. Try: /help")

    async def _quit(self, _: str) -> None:
        self._leave(DONE)

    # The conversation

    def _make(self, thread_id: str) -> Conversation:
        return Conversation(self._client, self, self._session.place, thread_id=thread_id, agent=self._agent)

    def _start(self) -> None:
        begin(self._app, self._print_all())
        self._begin()

    def _begin(self) -> None:
        self.note(f"conversation {self._conversation.thread_id} · /help names the commands")
        self._task = begin(self._app, self._conversation.run())

    async def _enter(self, thread_id: str) -> None:
        await self._end_conversation()
        self._conversation = self._make(thread_id)
        self._begin()

    async def _end_conversation(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _way_back(self) -> str:
        return self._session.place.fix("chat", "--thread", self._conversation.thread_id)
