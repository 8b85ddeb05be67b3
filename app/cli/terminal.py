"""The one place where commands write: data on standard output, progress and errors on standard error.

Texts of agents and users are hostile. They reach a terminal without control characters, and never as markup.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from .failures import Failure

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


def output_lost(error: OSError) -> Failure:
    """Return the failure of a command whose standard output cannot be written."""
    return Failure("output_lost", f"The output cannot be written: {error.strerror or error}.", "df -h")


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
        self.put(text)
        if text:
            self._is_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        """End the line of standard output, if there is one."""
        if self._is_mid_line:
            self.write("\n")

    def line(self, text: str) -> None:
        """Write a line of data."""
        self.write(f"{text}\n")

    def styled(self, *parts: str | tuple[str, str]) -> None:
        """Write a line of data whose parts may have a style. Only people see the styles."""
        texts = [clean(part if isinstance(part, str) else part[0]).replace("\n", " ") for part in parts]
        if not self.shows_data:
            self.line("".join(texts))
            return
        from rich.text import Text

        shown = Text()
        for text, part in zip(texts, parts, strict=True):
            shown.append(text, None if isinstance(part, str) else part[1])
        self.console(self.stdout).print(shown, soft_wrap=True)

    def record(self, value: object) -> None:
        """Write a JSON value as one line, in ASCII."""
        self.put(json.dumps(value) + "\n")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """Write rows: as a table for a person, else as lines of all fields with tabs between them.

        A person sees no column without a value, and is told so if there is no row.
        """
        rows = list(rows)
        if not rows:
            if self.shows_progress:
                self.note("None.")
            return
        if not self.shows_data:
            for row in rows:
                self.line("\t".join(map(on_line, row)))
            return
        from rich.text import Text

        filled = {at for row in rows for at, cell in enumerate(row) if cell}
        shown = [at for at, column in enumerate(columns) if self.width >= column.least and at in filled]
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
            self.line(f"{name:<{indent}}{joint.join(self._wrapped(text, indent))}")

    def paragraph(self, text: str, *, indent: int) -> None:
        """Write a text behind so many blanks. On a screen, its lines end between words."""
        for line in self._wrapped(clean(text), indent):
            self.line(f"{' ' * indent}{line}")

    def _wrapped(self, text: str, indent: int) -> list[str]:
        """Return the lines of a text, for a person those that fit the screen behind so many blanks."""
        lines, room = text.splitlines(), max(self.width - indent, 1)
        if not self.shows_data or all(len(line) * 2 <= room for line in lines):  # no letter is wider than two columns
            return lines
        from rich.text import Text

        console = self.console(self.stdout)
        return [part.plain.rstrip() for line in lines for part in Text(line).wrap(console, room) or [Text()]]

    def clear(self) -> None:
        """Clear the screen."""
        self.console(self.stdout).clear()

    def put(self, text: str) -> None:
        """Write clean text on standard output at once. Raises BrokenPipeError, and Failure if it cannot be written."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            self._is_mid_line = False  # nothing more can be written
            raise
        except OSError as error:
            self._is_mid_line = False
            raise output_lost(error) from error

    # Progress

    def tell_people(self, text: str) -> None:
        """Write on standard error at once. Do nothing if nobody reads it, since the work goes on without it."""
        with suppress(OSError):
            self.stderr.write(text)
            self.stderr.flush()

    def note(self, text: str) -> None:
        """Write a line for people on standard error."""
        if self._is_mid_line and self.shows_data and self.shows_progress:
            self.end_line()
        self.tell_people(f"{on_line(text)}\n")

    def tell(self, code: str, message: str, fix: str) -> None:
        """Write a failure on standard error: as JSON if asked for, else as a line with the command that helps."""
        self.end_line()
        if self.as_json:
            self.tell_people(json.dumps({"code": code, "message": message, "fix": fix or None}) + "\n")
            return
        ended = message if message.endswith((".", "!", "?")) else f"{message}."
        self.note(f"{ended} Try: {fix}" if fix else ended)

    def ask(self, prompt: str) -> str:
        """Return what a person types after a prompt. Raises EOFError if the input ends."""
        self.tell_people(clean(prompt))
        if not (line := self.stdin.readline()):
            self.tell_people("\n")
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
