"""The screen of `agentq top`: an overview that keeps up, and keys that act on the chosen message."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import BeforeInput
from rich.text import Text

from ..client import errors
from .failures import DONE, explain
from .messages import message_fields
from .overview_feed import OverviewFeed
from .overview_lines import Drawing, Row, draw, rows_of
from .screen_tasks import begin
from .terminal import clean, on_line
from .texts import age

if TYPE_CHECKING:
    from ..client import AsyncAgentQ
    from ..client.models import Message
    from .session import Session

TICK_SECONDS = 1.0
"""How often ages and rates are drawn anew."""

REDRAW_SECONDS = 0.1
FRAME_ROWS = 2
"""Rows of the heading and of the line at the foot."""

KEYS = "↑↓ choose  Enter show  p pause  c cancel  r retry  / filter  ? help  q quit"
FEW_KEYS = "↑↓  Enter show  p pause  c cancel  r retry  /  ?  q"
"""The keys for narrow screens."""
HELP = (
    "↑ ↓ or k j   choose a message",
    "Enter        show the chosen message; Enter or Esc goes back",
    "c            cancel the chosen message, after a question",
    "r            queue the chosen failed message again",
    "p            pause the queue, or open it again",
    "/            show only messages with a text in their id, agent, thread, priority, state or text",
    "q or Ctrl-C  quit; nothing stops",
    "",
    "~ stands before estimates. Tokens of a running message are a fourth of its characters.",
    "A grey screen is stale: its heading says since when and why.",
)


class TopScreen:
    """The screen and its keys. `_page` is what is shown in place of the overview: a message, or the help."""

    def __init__(self, session: "Session", client: "AsyncAgentQ") -> None:
        self._session = session
        self._client = client
        self._feed = OverviewFeed(client, self._changed)
        self._selected: str | None = None
        self._page: list[Text] | None = None
        self._question: tuple[str, Callable[[], Awaitable[Any]]] | None = None
        self._told = ""
        self._filter = Buffer(multiline=False, accept_handler=self._filtered, on_text_changed=lambda _: self._changed())
        self._main = Window(FormattedTextControl(self._body, focusable=True, show_cursor=False), wrap_lines=False)
        self._app = self._application()

    async def run(self) -> int:
        """Show the screen until the person quits, and return the exit code."""

        def start() -> None:
            begin(self._app, self._feed.run())

        return await self._app.run_async(pre_run=start)

    def _application(self) -> Application[int]:
        typed = Window(BufferControl(self._filter, input_processors=[BeforeInput("/")]), height=1)
        foot = Window(FormattedTextControl(self._foot), height=1)
        rows = [
            Window(FormattedTextControl(self._heading), height=1),
            self._main,
            ConditionalContainer(typed, Condition(self._is_filtering)),
            ConditionalContainer(foot, ~Condition(self._is_filtering)),
        ]
        return Application(
            Layout(HSplit(rows), focused_element=self._main), key_bindings=self._keys(), full_screen=True,
            min_redraw_interval=REDRAW_SECONDS, refresh_interval=TICK_SECONDS,
        )  # fmt: skip

    # The drawing

    @property
    def _width(self) -> int:
        return self._app.output.get_size().columns

    @property
    def _rows(self) -> int:
        return self._app.output.get_size().rows - FRAME_ROWS

    def _drawing(self) -> Drawing:
        return Drawing(self._width, self._rows, self._selected, self._filter.text, self._feed.rates)

    def _heading(self) -> ANSI:
        read_at, place = self._feed.read_at, on_line(self._client.base_url)
        if self._feed.trouble:
            since = f"stale for {age(read_at)}" if read_at else "no answer"
            return self._ansi([Text(f"agentq top  {place}  {since}: {on_line(self._feed.trouble)}", "bold yellow")])
        if read_at is None:
            return self._ansi([Text(f"agentq top  {place}  reading …", "dim")])
        wanted = f"  filter {on_line(self._filter.text)!r}" if self._filter.text else ""
        live = Text.assemble((f"agentq top  {place}  ", "bold"), ("live", "green"), wanted)
        return self._ansi([live])

    def _body(self) -> ANSI:
        if self._page is not None:
            return self._ansi(self._page[: self._rows])
        if self._feed.overview is None:
            return ANSI("")
        lines = draw(self._feed.overview, self._drawing())
        if self._feed.trouble:
            for line in lines:
                line.stylize("dim")
        return self._ansi(lines[: self._rows])

    def _foot(self) -> ANSI:
        if self._question is not None:
            return self._ansi([Text(f"{on_line(self._question[0])} y/n", "bold")])
        if self._told:
            return self._ansi([Text(on_line(self._told))])
        keys = KEYS if len(KEYS) <= self._width else FEW_KEYS
        return self._ansi([Text("Enter or Esc goes back" if self._page is not None else keys, "dim")])

    def _ansi(self, lines: list[Text]) -> ANSI:
        console = self._session.terminal.console(self._session.terminal.stdout)
        with console.capture() as captured:
            for line in lines:
                line.truncate(self._width, overflow="ellipsis")
                console.print(line, no_wrap=True, crop=True)
        return ANSI(captured.get().removesuffix("\n"))

    def _changed(self) -> None:
        self._app.invalidate()

    def _is_filtering(self) -> bool:
        return self._app.layout.has_focus(self._filter)

    # Keys

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        filtering = Condition(self._is_filtering)
        asked = Condition(lambda: self._question is not None)
        plain = ~filtering & ~asked

        def bind(action: Callable[[], object], *names: str, when: Any = plain) -> None:
            def press(_: KeyPressEvent) -> None:
                self._told = ""
                action()

            for name in names:
                keys.add(name, filter=when)(press)

        bind(self._quit, "c-c", "<sigint>", when=~filtering | filtering)
        bind(self._suspend, "c-z", when=~filtering | filtering)
        bind(self._quit, "q")
        bind(lambda: self._move(-1), "up", "k")
        bind(lambda: self._move(1), "down", "j")
        bind(self._enter, "enter")
        bind(self._back, "escape")
        bind(self._help, "?")
        bind(lambda: self._do(self._pause), "p")
        bind(self._ask_cancel, "c")
        bind(self._retry, "r")
        bind(lambda: self._app.layout.focus(self._filter), "/")
        bind(self._end_filter, "escape", when=filtering)
        bind(self._answer_yes, "y", when=asked)
        bind(self._answer_no, "n", "escape", "enter", when=asked)
        return keys

    def _quit(self) -> None:
        if not self._app.is_done:
            self._app.exit(result=DONE)

    def _suspend(self) -> None:
        self._app.suspend_to_background()

    def _candidates(self) -> list[Row]:
        overview = self._feed.overview
        return [] if overview is None else rows_of(overview, self._filter.text)

    def _chosen(self) -> Row | None:
        return next((each for each in self._candidates() if each.message_id == self._selected), None)

    def _move(self, by: int) -> None:
        ids = [each.message_id for each in self._candidates()]
        if not ids or self._page is not None:
            return
        at = ids.index(self._selected) + by if self._selected in ids else 0
        self._selected = ids[max(0, min(at, len(ids) - 1))]

    def _enter(self) -> None:
        if self._page is not None:
            self._back()
        elif row := self._chosen():
            self._do(lambda: self._show(row.message_id))
        else:
            self._told = "Choose a message with the arrow keys first."

    def _back(self) -> None:
        self._page = None

    def _help(self) -> None:
        self._page = [Text(line) for line in HELP]

    def _filtered(self, _: Buffer) -> bool:
        self._app.layout.focus(self._main)
        return True

    def _end_filter(self) -> None:
        self._filter.reset()
        self._app.layout.focus(self._main)

    def _ask_cancel(self) -> None:
        row = self._chosen()
        if row is None or row.kind == "failed":
            self._told = "Choose a message that runs or waits first."
            return
        self._question = (f"Cancel {row.message_id}?", lambda: self._client.cancel(row.message_id))

    def _answer_yes(self) -> None:
        question, self._question = self._question, None
        if question is not None:
            self._do(question[1])

    def _answer_no(self) -> None:
        self._question = None

    def _retry(self) -> None:
        row = self._chosen()
        if row is None or row.kind != "failed":
            self._told = "Choose a failed message first."
            return
        self._do(lambda: self._client.retry(row.message_id))

    # Actions

    def _do(self, action: Callable[[], Awaitable[Any]]) -> None:
        async def act() -> None:
            try:
                await action()
            except errors.AgentQError as error:
                self._told = explain(error, self._session.place).message
            self._feed.read_soon()
            self._changed()

        begin(self._app, act())

    async def _pause(self) -> None:
        overview = self._feed.overview
        if overview is not None and overview.queue.paused:
            await self._client.queue.resume()
        else:
            await self._client.queue.pause()

    async def _show(self, message_id: str) -> None:
        message: Message = await self._client.status(message_id)
        pairs = [(name, clean(value).rstrip()) for name, value in message_fields(message) if value]
        indent = max(len(name) for name, _ in pairs) + 2
        page: list[Text] = []
        console = self._session.terminal.console(self._session.terminal.stdout)
        for name, value in pairs:
            lines = Text(value).wrap(console, max(self._width - indent, 10))
            for at, line in enumerate(lines):
                page.append(Text.assemble((f"{'' if at else name:<{indent}}", "dim"), line))
        self._page = page
