"""Templates of events. Marks hold the places of values that only the script knows, such as the time or the attempt.

Templates are made from real events, so that the form of an event is defined once. JSON escapes quotes and control
characters inside a text. A key in quotes is therefore never part of a text, and marks are unambiguous.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from ...models.attempts import Completed, Failed
from ...models.events import NewEvent
from ...text import rfc3339
from ..terminal_states import WORKER_LOST_CODE

_MOMENT = datetime.fromtimestamp(0, UTC)
_NUMBER = -1

ATTEMPT, TIME, DISCARD_FROM, CRASHES, NOW = "\1A", "\1T", "\1D", "\1C", "\1N"

_MARKS = {
    f'"attempt": {_NUMBER}': f'"attempt": {ATTEMPT}',
    f'"discard_from": {_NUMBER}': f'"discard_from": {DISCARD_FROM}',
    f'"next_at": "{rfc3339(_MOMENT)}"': f'"next_at": "{TIME}"',
    f'"expires_at": "{rfc3339(_MOMENT)}"': f'"expires_at": "{TIME}"',
    f'"completed_at": "{rfc3339(_MOMENT)}"': f'"completed_at": "{TIME}"',
}


def stored(events: Sequence[NewEvent], at: object) -> list[str]:
    """Return events as the log keeps them. `at` is the time in milliseconds, or its mark."""
    between = f" {at} "
    return [event.type + between + event.data for event in events]


def _template(event: NewEvent) -> str:
    (text,) = stored([event], NOW)
    for known, mark in _MARKS.items():
        text = text.replace(known, mark)
    return text


PROCESSING = _template(NewEvent.processing(_NUMBER))
"""The event when an attempt begins."""

CANCELLED = _template(NewEvent.cancelled(_MOMENT))
"""The event when a message ends as cancelled."""

WORKER_LOST_TOO_OFTEN = f"The worker was lost {CRASHES} times while it processed this message."


def retry(error: str) -> str:
    """Return the `retry` event: an attempt ends and its message is queued again."""
    return _template(NewEvent.retry(attempt=_NUMBER, error=error, next_at=_MOMENT, discard_from=_NUMBER))


def interrupted(interrupts: str) -> str:
    """Return the `interrupted` event: the agent asks a human.

    `interrupts` is inserted after the marks. Otherwise a mark might replace a value in it, such as `"attempt": -1`.
    """
    template = _template(NewEvent.interrupted(attempt=_NUMBER, interrupts="[]", expires_at=_MOMENT))
    return template.replace('"interrupts": []', f'"interrupts": {json.dumps(json.loads(interrupts))}')


def resumed(answers: str) -> str:
    """Return the `resumed` event: a human answered. `answers` are inserted after the marks, as questions are."""
    template = _template(NewEvent.resumed(discard_from=_NUMBER, answers="{}"))
    return template.replace('"answers": {}', f'"answers": {json.dumps(json.loads(answers))}')


def ended(outcome: Completed | Failed) -> str:
    """Return the terminal event for an outcome. An output is inserted after the marks.

    Otherwise a mark might replace a value in the output, such as `"attempt": -1`.
    """
    match outcome:
        case Completed(result, output):
            done = _template(NewEvent.done(result, _MOMENT))
            return done if output is None else f'{done[:-1]}, "output": {json.dumps(json.loads(output))}}}'
        case Failed(error=error, code=code):
            return _template(NewEvent.failed(error, code, _MOMENT))


def worker_lost_too_often() -> str:
    """Return the terminal event of a message whose workers were lost too often."""
    event = NewEvent.failed(WORKER_LOST_TOO_OFTEN, WORKER_LOST_CODE, _MOMENT)
    return _template(event).replace("\\u0001C", CRASHES)
