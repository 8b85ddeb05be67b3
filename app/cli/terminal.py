"""The one place where commands write: data on standard output, progress and errors on standard error.

Texts of agents and users are hostile. They reach a terminal without control characters, and never as markup.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Terminal controls, changes of the writing direction, and what UTF-8 cannot encode. Tabs and line feeds stay."""

_SPACE = re.compile(r"[\s\u2028\u2029]+")

WIDE = 100_000
"""The width of what is no screen. No line is cut there."""

GAP = "  "
"""The blanks between two columns."""


def clean(text: str) -> str:
    """Return a text without what could control a terminal."""
    return _CONTROL.sub("", text)


def on_line(text: str) -> str:
    """Return a clean text on one line."""
    return _SPACE.sub(" ", clean(text)).strip()


class Column(NamedTuple):
    """A column of a table. Terminals of fewer than `least` columns leave it out."""

    head: str
    least: int = 0
    is_long: bool = False


class Terminal:
    """The standard streams of a command. `width` is that of the screen in columns, None to find it out."""

    def __init__(
        self,
        stdin: TextIO,
        stdout: TextIO,
        stderr: TextIO,
        *,
        environment: Mapping[str, str] | None = None,
        width: int | None = None,
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = False
        self._environment = os.environ if environment is None else environment
        self._width = width
        self._is_mid_line = False

    @classmethod
    def of_process(cls) -> "Terminal":
        """Return the streams of this process. What their encoding cannot say is shown as a question mark."""
        if sys.stdin is None:  # as all three, it is None when a shell has closed it
            sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  it is read until the process ends
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  as said above
            if hasattr(stream := getattr(sys, name), "reconfigure"):
                stream.reconfigure(errors="replace")
        return cls(sys.stdin, sys.stdout, sys.stderr)

    @property
    def shows_data(self) -> bool:
        """Return whether a person sees standard output."""
        return self.stdout.isatty()

    @property
    def shows_progress(self) -> bool:
        """Return whether a person sees standard error."""
        return self.stderr.isatty()

    @property
    def animates(self) -> bool:
        """Return whether a line of standard error may change in place."""
        return self.shows_progress and not self._is_plain

    @property
    def _is_plain(self) -> bool:
        return bool(self._environment.get("NO_COLOR")) or self._environment.get("TERM") == "dumb"

    @property
    def can_ask(self) -> bool:
        """Return whether a person can be asked."""
        return self.stdin.isatty() and self.stderr.isatty() and not self.as_json

    @property
    def width(self) -> int:
        """Return the width of the screen in columns."""
        return self._width or shutil.get_terminal_size().columns

    # Data

    def write(self, text: str) -> None:
        """Write a part of an answer at once."""
        text = clean(text)
        self.stdout.write(text)
        self.stdout.flush()
        if text:
            self._is_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        """End the line of standard output, if there is one."""
        if self._is_mid_line:
            self.write("\n")

    def line(self, text: str) -> None:
        """Write a line of data."""
        self.write(f"{text}\n")

    def record(self, value: object) -> None:
        """Write a JSON value as one line, in ASCII."""
        self.stdout.write(json.dumps(value) + "\n")
        self.stdout.flush()

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """Write rows: as a table for a person, else as lines of all fields with tabs between them."""
        if not self.shows_data:
            for row in rows:
                self.line("\t".join(map(on_line, row)))
            return
        from rich.text import Text

        shown = [at for at, column in enumerate(columns) if self.width >= column.least]
        heads = [columns[at].head for at in shown]
        lines = [[Text(head, "bold") for head in heads], *([Text(on_line(row[at])) for at in shown] for row in rows)]
        widths = [max(line[at].cell_len for line in lines) for at in range(len(shown))]
        spare = self.width - sum(widths) - len(GAP) * (len(widths) - 1)
        for place, at in enumerate(shown):
            if columns[at].is_long and spare < 0:  # only long texts give way
                widths[place], spare = max(len(heads[place]), widths[place] + spare), 0
        console = self.console(self.stdout)
        for line in lines:
            for cell, width in zip(line, widths, strict=True):
                cell.truncate(width, overflow="ellipsis", pad=True)
            console.print(Text(GAP).join(line), no_wrap=True, overflow="ellipsis")

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write names and texts, one a line. Further lines of a text are indented."""
        given = [(name, clean(text).rstrip()) for name, text in pairs if text]
        indent = max((len(name) for name, _ in given), default=0) + 2
        for name, text in given:
            joint = "\n" + " " * indent
            self.line(f"{name:<{indent}}{joint.join(text.splitlines())}")

    def clear(self) -> None:
        """Clear the screen."""
        self.console(self.stdout).clear()

    # Progress

    def note(self, text: str) -> None:
        """Write a line for people on standard error."""
        if self._is_mid_line and self.shows_data and self.shows_progress:
            self.end_line()
        self.stderr.write(f"{on_line(text)}\n")
        self.stderr.flush()

    def tell(self, code: str, message: str, fix: str) -> None:
        """Write a failure on standard error: as JSON if asked for, else as a line with the command that helps."""
        self.end_line()
        if self.as_json:
            self.stderr.write(json.dumps({"code": code, "message": message, "fix": fix or None}) + "\n")
            self.stderr.flush()
            return
        ended = message if message.endswith((".", "!", "?")) else f"{message}."
        self.note(f"{ended} Try: {fix}" if fix else ended)

    def ask(self, prompt: str) -> str:
        """Return what a person types after a prompt. Raises EOFError if the input ends."""
        self.stderr.write(clean(prompt))
        self.stderr.flush()
        if not (line := self.stdin.readline()):
            self.stderr.write("\n")
            raise EOFError
        return line.rstrip("\r\n")

    def console(self, file: TextIO) -> "Console":
        """Return a console of a stream. It writes escapes to terminals only, and none at all if NO_COLOR is set."""
        from rich.console import Console

        return Console(
            file=file,
            width=self.width if file.isatty() else WIDE,
            no_color=self._is_plain,
            force_terminal=file.isatty() and not self._is_plain,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )


def jsonable(model: Any) -> Any:
    """Return a reply of the server as plain JSON, with the fields that this version does not know."""
    return model.model_dump(mode="json")
