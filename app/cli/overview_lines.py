"""Draws an overview of the queue as lines of text that fit a screen."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from .terminal import GAP, on_line
from .texts import age, seconds

if TYPE_CHECKING:
    from ..client.models import DeadLetter, ProcessingMessage, QueuedMessage, Statistics, Worker
    from .overview import Overview
    from .overview_feed import Rate

WIDE_ENOUGH_FOR_IDS = 100
WIDE_ENOUGH_FOR_COLUMNS = 75

SHORT_ID = 8
"""The end of an id, which differs between messages of one moment."""

INDENT = " " * 8
TALL = 24
"""Screens with fewer rows show each problem and its cure on a line each."""

BAR = 20
MAX_PROBLEMS = 3
MAX_WORKERS = 4
LEAST_ROWS = 3
"""Messages of a kind that are shown on the smallest screen."""


class Row(NamedTuple):
    """A message that can be chosen. `kind` is `running`, `waiting` or `failed`."""

    kind: str
    message_id: str
    priority: str
    agent: str
    thread_id: str
    text: str
    since: datetime | None

    def matches(self, wanted: str) -> bool:
        """Return whether a field of the message has this text in it, whatever its case."""
        return wanted.lower() in "\n".join((self.kind, *self[1:6])).lower()


def rows_of(overview: "Overview", wanted: str = "") -> list[Row]:
    """Return the messages of an overview: running ones, waiting ones in their order, and the newest failed ones."""

    def row(kind: str, message: "ProcessingMessage | QueuedMessage", since: datetime | None) -> Row:
        thread = message.thread_id or ""
        return Row(kind, message.id, message.priority, message.agent, thread, message.user_message, since)

    def failed(message: "DeadLetter") -> Row:
        said = f"{message.error_code}: {message.error}"
        thread = message.thread_id or ""
        return Row("failed", message.message_id, message.priority, message.agent, thread, said, message.failed_at)

    found = [
        *(row("running", each, each.started_at) for each in overview.queue.processing_messages),
        *(row("waiting", each, each.created_at) for each in overview.queue.queued_messages),
        *map(failed, overview.failed),
    ]
    return [each for each in found if each.matches(wanted)]


def shown_rows(rows: Sequence[Row], room: int, selected: str | None) -> list[Row]:
    """Return as many rows of each kind as there is room for, and the selected one in any case."""
    kinds = {kind: [each for each in rows if each.kind == kind] for kind in ("running", "waiting", "failed")}
    kinds = {kind: each for kind, each in kinds.items() if each}
    left = max(room - len(kinds), LEAST_ROWS * len(kinds))
    shown: list[Row] = []
    for at, each in enumerate(kinds.values()):
        share = left // (len(kinds) - at)
        chosen = next((place for place, row in enumerate(each) if row.message_id == selected), 0)
        first = max(0, chosen - share + 1)
        taken = each[first : first + share]
        shown += taken
        left -= len(taken)
    return shown


class Drawing(NamedTuple):
    """The means to draw an overview. `selected` is the id of a message; `rates` are those of running ones."""

    width: int
    height: int | None = None
    selected: str | None = None
    wanted: str = ""
    rates: "Mapping[str, Rate]" = MappingProxyType({})


def draw(overview: "Overview", drawing: Drawing) -> list[Text]:
    """Return the lines of an overview. Without a height, nothing is left out but what the width cuts."""
    head = [*_numbers(overview, drawing.width), *_depths(overview.statistics), *_problems(overview, drawing)]
    workers = _workers(overview.workers, drawing)
    rows = rows_of(overview, drawing.wanted)
    if drawing.height is not None:
        rows = shown_rows(rows, drawing.height - len(head) - len(workers), drawing.selected)
    lines = [*head, *_messages(rows, drawing), *workers]
    for line in lines:
        line.truncate(drawing.width, overflow="ellipsis")
    return lines


def _numbers(overview: "Overview", width: int) -> list[Text]:
    queue, statistics = overview.queue, overview.statistics
    server = statistics and statistics.server
    running = f"{server.slots_busy}/{server.slots}" if server else f"{queue.total_processing}"
    first = [
        ("queued", f"{queue.total_queued:,}"), ("running", running), ("asking", f"{queue.total_interrupted:,}"),
        ("failed", f"{queue.total_failed:,}"),
    ]  # fmt: skip
    paused = [Text("PAUSED", "bold reverse")] if queue.paused else []
    lines = [
        Text("  ").join([*paused, *(Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in first)])
    ]
    if statistics is None:
        return lines
    errors = f"{statistics.error_rate:.1%}" if statistics.error_rate is not None else ""
    cost = f"${statistics.tokens.cost}" if statistics.tokens.cost is not None else ""
    second = [
        ("done/min", f"{statistics.completed_per_minute:.1f}"), ("errors", errors),
        ("wait p95", _time(statistics.wait.p95)), ("first token p95", _time(statistics.first_token.p95)),
        ("run p95", _time(statistics.run.p95)), ("cost", cost),
    ]  # fmt: skip
    shown = [Text.assemble((f"{name} ", "dim"), value) for name, value in second if value]
    return [*lines, *_filled([Text("last hour:", "dim"), *shown], width)]


def _filled(pieces: Sequence[Text], width: int) -> list[Text]:
    """Return lines with as many of the pieces as fit, in their order."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(GAP) + piece.cell_len <= width:
            lines[-1] = Text(GAP).join([lines[-1], piece])
        else:
            lines.append(piece)
    return lines


def _time(amount: float | None) -> str:
    return "" if amount is None else seconds(amount)


def _depths(statistics: "Statistics | None") -> list[Text]:
    """Return a bar for each priority, for callers who may see them."""
    if statistics is None or statistics.server is None:
        return []
    server = statistics.server
    longest = max(*server.waiting.values(), 1) if server.waiting else 1
    lines = []
    for priority, count in server.waiting.items():
        bar = "█" * max(round(count / longest * BAR), 1 if count else 0)
        oldest = server.oldest_seconds.get(priority)
        told = f"{count:,}" if oldest is None else f"{count:,}  oldest {seconds(oldest)}"
        lines.append(Text.assemble((f"{priority:<8}", "dim"), (f"{bar:<{BAR}} ", "cyan"), told))
    return lines


def _problems(overview: "Overview", drawing: Drawing) -> list[Text]:
    if overview.report is None or not overview.report.findings:
        return []
    colours = {"error": "bold red", "warning": "yellow"}
    findings = overview.report.findings
    shown = findings if drawing.height is None else findings[:MAX_PROBLEMS]
    lines = [_title("PROBLEMS", len(findings), len(shown))]
    for each in shown:
        mark = Text.assemble((f"{each.severity:<8}", colours.get(each.severity, "cyan")), on_line(each.title))
        told = mark.append(f": {on_line(each.detail)}", "dim")
        lines += [*_indented(told, drawing), *_indented(Text(f"{INDENT}$ {on_line(each.cure)}"), drawing)]
    return lines


def _indented(text: Text, drawing: Drawing) -> list[Text]:
    """Return a text on several lines, on a screen on as many as it has room for."""
    if text.cell_len <= drawing.width:
        return [text]
    first, *others = text.wrap(Console(width=drawing.width), drawing.width - len(INDENT))
    lines = [first, *(Text(INDENT).append(line) for line in others)]
    if drawing.height is None:
        return lines
    room = 2 if drawing.height >= TALL else 1
    if len(lines) > room:
        lines = lines[:room]
        lines[-1].append("…")
    return lines


def _messages(rows: Sequence[Row], drawing: Drawing) -> list[Text]:
    lines, kind = [], ""
    for row in rows:
        if row.kind != kind:
            kind = row.kind
            lines.append(Text(kind.upper(), "bold"))
        lines.append(_message(row, drawing))
    return lines


def _message(row: Row, drawing: Drawing) -> Text:
    mark = "▸ " if row.message_id == drawing.selected else "  "
    is_wide = drawing.width >= WIDE_ENOUGH_FOR_IDS
    name = row.message_id if is_wide else f"…{row.message_id[-SHORT_ID:]}"
    parts = [f"{mark}{on_line(name)}"]
    if drawing.width >= WIDE_ENOUGH_FOR_COLUMNS:
        parts += [f"{row.priority:<6}", f"{on_line(row.agent):<10.10}"]
    parts.append(f"{age(row.since):>6}")
    if rate := drawing.rates.get(row.message_id):
        parts.append(f"~{rate.tokens} tok ~{rate.tokens_per_second:.0f}/s")
    line = Text("  ".join((*parts, on_line(row.text))), "red" if row.kind == "failed" else "")
    line.truncate(drawing.width, overflow="ellipsis", pad=True)
    if row.message_id == drawing.selected:
        line.stylize("reverse")
    return line


def _workers(workers: "Sequence[Worker] | None", drawing: Drawing) -> list[Text]:
    if not workers:
        return []
    shown = workers if drawing.height is None else workers[:MAX_WORKERS]
    lines = [_title("WORKERS", len(workers), len(shown))]
    for each in shown:
        beat = f"beat {age(each.last_beat)} ago"
        slots = f"{each.slots} slot" + ("s" if each.slots != 1 else "")
        slots = slots if each.state == "active" else each.state
        lines.append(Text(f"  {on_line(each.id):<28.28}  {slots:<9} {beat}  {on_line(each.host)} pid {each.pid}"))
    return lines


def _title(name: str, count: int, shown: int) -> Text:
    return Text(name if shown == count else f"{name} ({shown} of {count})", "bold")
