"""Finds where foreign code raised an error. Pure; like `failures`, it takes bounded time and raises nothing."""

import linecache
import os
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

from ..models.failures import FailureDetails
from ..text import escaped, scrubbed
from .failures import (
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    all_of,
    attribute,
    class_name,
    is_group,
    links_of,
    members_of,
    notes_of,
    with_class,
)

MAX_FRAMES = 5_000
"""Maximum frames read of one traceback."""

SHOWN_ERRORS = 4
"""Errors shown of a chain: those raised last."""

SHOWN_MEMBERS = 3
SHOWN_FIRST, SHOWN_LAST = 6, 14
"""Frames shown at the beginning and at the end of one error's traceback."""

SHOWN_TEXT = 300
SHOWN_SOURCE = 160
MAX_TRACEBACK_LENGTH = 6_000

NODE_NOTE = re.compile(r"(?:During|Before) task with name '(.{1,200})' and (?:id|path) '", re.DOTALL)
NODE_RUNNERS = frozenset({"run_with_retry", "arun_with_retry"})
NODE_RUNNERS_MODULE = "langgraph.pregel._retry"

CAUSED = "The error above was the direct cause of the following one:"
DURING = "During handling of the error above, another one was raised:"

Shown = Callable[[str, int], str]
"""A function that returns a text without secrets, cut to a length."""


class Frame(NamedTuple):
    """A place in the code. `library` is the package of the code; None for the user's own code."""

    file: str
    line: int
    function: str
    library: str | None

    @property
    def place(self) -> str:
        """Return file, line and function as users see them."""
        return f"{shown_path(self.file)}:{self.line} in {escaped(self.function[:MAX_NAME_LENGTH])}"


def node_of(error: BaseException) -> str | None:
    """Return the innermost graph node, or the function agent, that raised the error.

    Read LangGraph's own frames, which name the node of every error. If they are gone, read LangGraph's note, which only
    some errors have. Return None if neither is there.
    """
    for each in all_of(error):
        if (node := _node_of_frames(each)) or (node := _node_of_notes(each)):
            return escaped(node[:MAX_NAME_LENGTH])
    return None


def frames_of(error: BaseException) -> list[Frame]:
    """Return the places that the error passed through; the last place raised it.

    For a SyntaxError, the last place is the faulty line of the source.
    """
    frames = [_to_frame(code, line) for code, line, _ in _raw_frames(error)]
    if issubclass(type(error), SyntaxError):
        file, line = attribute(error, "filename"), attribute(error, "lineno")
        if type(file) is str and type(line) is int and os.path.isfile(file):  # noqa: PTH113  the text may be no path
            frames.append(Frame(file, line, "<module>", _library_of(file)))
    return frames


def place_of(error: BaseException) -> str | None:
    """Return the innermost place in the user's own code; without such a place, the innermost of all. None if unknown.

    For a group, return the place of a member: the group was raised only where its members were awaited.
    """
    if (own := own_place_of(error)) is not None:
        return own
    return next((frames[-1].place for each in all_of(error) if (frames := frames_of(each))), None)


def own_place_of(error: BaseException) -> str | None:
    """Return the innermost place in the user's own code; None if the error did not pass through it."""
    found: Frame | None = None
    for each in all_of(error):
        own = [frame for frame in frames_of(each) if frame.library is None]
        if own and not is_group(each):
            return own[-1].place
        found = found or (own[-1] if own else None)
    return None if found is None else found.place


def traceback_of(error: BaseException, shown: Shown, *, texts: bool = True, every_frame: bool = False) -> str:
    """Return the traceback, with the most recent call last, in at most MAX_TRACEBACK_LENGTH characters.

    It shows no values of variables. `shown` removes secrets from texts and source lines. Without `every_frame`, the
    frames of libraries are only counted, except the frame that raised. Without `texts`, only the classes of errors are
    shown.
    """
    links = list(islice(links_of(error), SHOWN_ERRORS))
    lines: list[str] = []
    for position, (each, _) in reversed(list(enumerate(links))):
        lines += _block(each, shown, texts=texts, every_frame=every_frame)
        if position:
            lines += ["", CAUSED if links[position - 1][1] else DURING, ""]
    text = scrubbed("\n".join(lines))
    return text if len(text) <= MAX_TRACEBACK_LENGTH else "…" + text[1 - MAX_TRACEBACK_LENGTH :]


def details_of(error: BaseException, shown: Shown) -> FailureDetails:
    """Return node, class, place and traceback of an error, for storing. `shown` removes secrets."""
    return FailureDetails(
        node=node_of(error), error_type=class_name(error), where=place_of(error), traceback=traceback_of(error, shown)
    )


def details_of_stack(stack: Sequence[FrameType], shown: Shown) -> FailureDetails:
    """Return node, place and traceback of code that is still executing. `stack` has the innermost frame last."""
    frames = [_to_frame(frame.f_code, frame.f_lineno or 0) for frame in stack[-MAX_FRAMES:]]
    inner = next((frame for frame in reversed(frames) if frame.library is None), frames[-1] if frames else None)
    lines = ["Where it was (innermost call last):", *_frame_lines(frames, shown, every_frame=False)]
    node = _node_of_stack(stack)
    return FailureDetails(
        node=None if node is None else escaped(node[:MAX_NAME_LENGTH]),
        where=None if inner is None else inner.place,
        traceback=scrubbed("\n".join(lines))[-MAX_TRACEBACK_LENGTH:] if frames else None,
    )


def shown_path(file: str) -> str:
    """Return a path as users see it: relative to the working directory or to the packages, otherwise its last parts."""
    try:
        short = os.path.relpath(file)
    except (OSError, ValueError):
        short = ".."
    if file.startswith(("<", _OUR_PACKAGE)) or short.startswith(".."):
        _, packages, rest = file.rpartition("-packages" + os.sep)
        short = rest if packages else str(Path(*Path(file).parts[-3:]))
    if file.startswith(_OUR_PACKAGE):
        short = str(Path(_PACKAGE_NAME, file.removeprefix(_OUR_PACKAGE)))
    return escaped(short[-MAX_NAME_LENGTH:])


_TRACEBACK: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__


def _raw_frames(error: BaseException) -> Iterator[tuple[CodeType, int, FrameType]]:
    step = _TRACEBACK(error)
    for _ in range(MAX_FRAMES):
        if step is None:
            return
        yield step.tb_frame.f_code, step.tb_lineno or 0, step.tb_frame
        step = step.tb_next


def _to_frame(code: CodeType, line: int) -> Frame:
    return Frame(code.co_filename, line, code.co_name, _library_of(code.co_filename))


_PACKAGE_NAME = __name__.partition(".")[0]
_OUR_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})


def _library_of(file: str) -> str | None:
    _, packages, rest = file.rpartition("-packages" + os.sep)
    if packages:
        return rest.partition(os.sep)[0].removesuffix(".py")
    if file.endswith(".pyx"):  # compiled code; its path begins with its package
        return file.partition(os.sep)[0]
    if file.startswith(_OUR_PACKAGE):
        return _PACKAGE_NAME
    return "python" if file.startswith((*_STANDARD, "<frozen ")) else None


def _node_of_frames(error: BaseException) -> str | None:
    return _node_of_stack(frame for _, _, frame in _raw_frames(error))


def _node_of_stack(stack: Iterable[FrameType]) -> str | None:
    node = None
    for frame in stack:
        if frame.f_code.co_name in NODE_RUNNERS and frame.f_globals.get("__name__") == NODE_RUNNERS_MODULE:
            name = attribute(frame.f_locals.get("task"), "name")
            node = name if type(name) is str else node
    return node


def _node_of_notes(error: BaseException) -> str | None:
    for note in notes_of(error):
        if found := NODE_NOTE.match(note):
            return found[1]
    return None


def _block(error: BaseException, shown: Shown, *, texts: bool, every_frame: bool) -> list[str]:
    """Return the lines of one error with its frames, and of a group's first members."""
    frames = frames_of(error)
    lines = ["Traceback (most recent call last):", *_frame_lines(frames, shown, every_frame)] if frames else []
    lines.append(_last_line(error, shown) if texts else class_name(error))
    if is_group(error):
        for each in islice(members_of(error), SHOWN_MEMBERS):  # type: ignore[arg-type]  # it is a group
            lines += ["Member of the group:"]
            member_frames = _frame_lines(frames_of(each), shown, every_frame)
            lines += [*member_frames, _last_line(each, shown) if texts else class_name(each)]
    return lines


def _last_line(error: BaseException, shown: Shown) -> str:
    return with_class(error, lambda text: escaped(shown(text, SHOWN_TEXT)))


def _frame_lines(frames: list[Frame], shown: Shown, every_frame: bool) -> Iterable[str]:
    """Return the lines for the shown frames. Count the hidden frames."""
    kept = [frame for frame in frames if every_frame or frame.library is None]
    if frames and (not kept or kept[-1] is not frames[-1]):
        kept.append(frames[-1])
    if len(kept) > SHOWN_FIRST + SHOWN_LAST:
        kept = kept[:SHOWN_FIRST] + kept[-SHOWN_LAST:]
    shown_frames = {id(frame) for frame in kept}
    skipped: list[Frame] = []
    lines: list[str] = []
    for frame in frames:
        if id(frame) not in shown_frames:
            skipped.append(frame)
            continue
        lines += _skipped_lines(skipped)
        skipped = []
        path, function = shown_path(frame.file), escaped(frame.function[:MAX_NAME_LENGTH])
        lines.append(f'  File "{path}", line {frame.line}, in {function}')
        if source := _source_of(frame):
            lines.append(f"    {escaped(shown(source, SHOWN_SOURCE))}")
    return lines


def _skipped_lines(skipped: list[Frame]) -> list[str]:
    if not skipped:
        return []
    names = list(dict.fromkeys(frame.library or "your code" for frame in skipped))
    more = " and others" if len(names) > 3 else ""
    return [f"  [{len(skipped)} of {', '.join(names[:3])}{more}]"]


def _source_of(frame: Frame) -> str:
    try:
        return linecache.getline(frame.file, frame.line).strip()[:MAX_TEXT_LENGTH]
    except Exception:  # noqa: BLE001  the file may be deleted, or no text
        return ""
