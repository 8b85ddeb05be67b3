"""Events of which only the script knows a part: the time, the attempt, where readers have to begin to drop.

Made from the events themselves, so that their shape is said once. In the data of an event a quote inside of a text is
escaped and a control character never occurs; so a key in quotes is no text, and the marks are the script's alone.
"""

import json
from datetime import UTC, datetime

from ...models.attempts import Completed, Failed
from ...models.events import NewEvent
from ...text import rfc3339
from ..terminal_states import WORKER_LOST_CODE

_MOMENT = datetime.fromtimestamp(0, UTC)
_NUMBER = -1

ATTEMPT, TIME, DISCARD_FROM, CRASHES = "\1A", "\1T", "\1D", "\1C"

_MARKS = {
    f'"attempt": {_NUMBER}': f'"attempt": {ATTEMPT}',
    f'"discard_from": {_NUMBER}': f'"discard_from": {DISCARD_FROM}',
    f'"next_at": "{rfc3339(_MOMENT)}"': f'"next_at": "{TIME}"',
    f'"expires_at": "{rfc3339(_MOMENT)}"': f'"expires_at": "{TIME}"',
    f'"completed_at": "{rfc3339(_MOMENT)}"': f'"completed_at": "{TIME}"',
}


def stored(event: NewEvent) -> str:
    """An event as the log keeps it."""
    return f"{event.type.value} {event.data}"


def _template(event: NewEvent) -> str:
    text = stored(event)
    for known, mark in _MARKS.items():
        text = text.replace(known, mark)
    return text


PROCESSING = _template(NewEvent.processing(_NUMBER))
"""A worker has begun this attempt."""

RESUMED = _template(NewEvent.resumed(discard_from=_NUMBER))
"""The answer came."""

CANCELLED = _template(NewEvent.cancelled(_MOMENT))
"""The message was cancelled."""

WORKER_LOST_TOO_OFTEN = f"The worker was lost {CRASHES} times while it processed this message."


def retry(error: str) -> str:
    """The attempt is over without a result."""
    return _template(NewEvent.retry(attempt=_NUMBER, error=error, next_at=_MOMENT, discard_from=_NUMBER))


def interrupted(interrupts: str) -> str:
    """The agent asks a human. What it asks may have any keys, also such as the marks stand for."""
    template = _template(NewEvent.interrupted(attempt=_NUMBER, interrupts="[]", expires_at=_MOMENT))
    return template.replace('"interrupts": []', f'"interrupts": {json.dumps(json.loads(interrupts))}')


def ended(outcome: Completed | Failed) -> str:
    """The message has ended. An output may have any keys, also such as the marks stand for."""
    match outcome:
        case Completed(result, output):
            done = _template(NewEvent.done(result, _MOMENT))
            return done if output is None else f'{done[:-1]}, "output": {json.dumps(json.loads(output))}}}'
        case Failed(error=error, code=code):
            return _template(NewEvent.failed(error, code, _MOMENT))


def worker_lost_too_often() -> str:
    """The message has failed with its workers."""
    event = NewEvent.failed(WORKER_LOST_TOO_OFTEN, WORKER_LOST_CODE, _MOMENT)
    return _template(event).replace("\\u0001C", CRASHES)
