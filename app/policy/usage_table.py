"""Checks what is asked of usage, and turns usage into rows and CSV. Pure."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import InvalidRequest
from ..models.usage import GroupUsage, Tokens, UsageGroup
from ..text import escaped, rfc3339

MAX_WINDOW_DAYS = 400
DEFAULT_WINDOW_DAYS = 30

HOUR_SECONDS = 3600

TOKEN_FIELDS = (
    *("calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens"),
    *("cost", "cost_complete"),
)
"""The fields of tokens in replies and in CSV, in their order."""

_FORMULA_BEGINNINGS = ("=", "+", "-", "@")
"""Characters with which a spreadsheet takes a text for a formula."""


def checked_groups(text: str) -> frozenset[UsageGroup]:
    """Return the groups in a list that is separated by commas. Raises InvalidRequest."""
    known = ", ".join(UsageGroup)
    groups = set()
    for name in filter(None, text.split(",")):
        if name not in set(UsageGroup):
            raise InvalidRequest(f"group_by: expected some of {known}, separated by commas", field="group_by")
        groups.add(UsageGroup(name))
    if {UsageGroup.HOUR, UsageGroup.DAY} <= groups:
        raise InvalidRequest("group_by: expected either hour or day, not both", field="group_by")
    return frozenset(groups)


def checked_window(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the window of usage. By default it ends with the present hour, and begins DEFAULT_WINDOW_DAYS earlier.

    Raises InvalidRequest if it is empty or longer than MAX_WINDOW_DAYS.
    """
    end = until or now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    begin = since or end - timedelta(days=DEFAULT_WINDOW_DAYS)
    if begin >= end:
        raise InvalidRequest("since: expected a time before `until`", field="since")
    if end - begin > timedelta(days=MAX_WINDOW_DAYS):
        raise InvalidRequest(f"since: expected at most {MAX_WINDOW_DAYS} days before `until`", field="since")
    return begin, end


def whole_hour(moment: datetime) -> datetime:
    """Return the time. Raises ValueError unless it is a whole hour of UTC, from 1970 to 9998."""
    seconds = moment.timestamp()
    if not 0 <= seconds < datetime(9999, 1, 1, tzinfo=UTC).timestamp():
        raise ValueError("expected a time from 1970 to 9998")
    if seconds % HOUR_SECONDS:
        raise ValueError("expected a whole hour of UTC, such as 2030-01-31T09:00:00Z")
    return moment


def token_fields(tokens: Tokens) -> dict[str, Any]:
    """Return the fields of tokens by name, in the order of TOKEN_FIELDS."""
    total = tokens.input_tokens + tokens.output_tokens
    return {name: total if name == "total_tokens" else getattr(tokens, name) for name in TOKEN_FIELDS}


def usage_row(groups: frozenset[UsageGroup], usage: GroupUsage) -> dict[str, Any]:
    """Return the row of a group: what it is grouped by, in the order of UsageGroup, then its tokens.

    An API key or a subject is None for usage without one.
    """
    begin = datetime.fromtimestamp(usage.key.hour * HOUR_SECONDS, UTC)
    values: dict[UsageGroup, datetime | str | None] = {
        UsageGroup.HOUR: begin,
        UsageGroup.DAY: f"{begin:%Y-%m-%d}",
        UsageGroup.TENANT: usage.key.tenant,
        UsageGroup.KEY: usage.key.key or None,
        UsageGroup.SUBJECT: usage.key.subject or None,
        UsageGroup.AGENT: usage.key.agent,
        UsageGroup.MODEL: usage.key.model,
    }
    named = {group.value: values[group] for group in UsageGroup if group in groups}
    return named | token_fields(usage.tokens)


def csv_head(groups: frozenset[UsageGroup]) -> str:
    """Return the first line of CSV: the names of the columns."""
    return _csv([[*(group.value for group in UsageGroup if group in groups), *TOKEN_FIELDS]])


def csv_lines(groups: frozenset[UsageGroup], found: Iterable[GroupUsage]) -> str:
    """Return CSV of usage, a line for each group. A missing value is empty.

    A text that a spreadsheet would take for a formula gets an apostrophe in front. Control characters are escaped.
    """
    return _csv([_cell(value) for value in usage_row(groups, each).values()] for each in found)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, str):
        value = escaped(value)
        return f"'{value}" if value.startswith(_FORMULA_BEGINNINGS) else value
    return value


def _csv(rows: Iterable[list[Any]]) -> str:
    text = io.StringIO()
    plain, quoted = csv.writer(text), csv.writer(text, quoting=csv.QUOTE_ALL)
    for row in rows:
        # Spreadsheets of many languages begin a new cell at a semicolon without quotes, and a formula with it.
        (quoted if any(";" in str(cell) for cell in row) else plain).writerow(row)
    return text.getvalue()
