"""Stream modes: what a client wants to see of a run, and the events that the run has to show for it."""

from collections.abc import Collection
from enum import StrEnum

from ...models.inputs import ShownEvent


class StreamMode(StrEnum):
    """A view of a run. With each piece, `messages` shows the message so far, and `messages-tuple` only the piece."""

    VALUES = "values"
    UPDATES = "updates"
    MESSAGES = "messages"
    MESSAGES_TUPLE = "messages-tuple"
    CUSTOM = "custom"
    TASKS = "tasks"
    CHECKPOINTS = "checkpoints"
    DEBUG = "debug"


_SHOWN = {
    StreamMode.VALUES: ShownEvent.VALUES,
    StreamMode.UPDATES: ShownEvent.UPDATES,
    StreamMode.CUSTOM: ShownEvent.CUSTOM,
    StreamMode.TASKS: ShownEvent.TASKS,
    StreamMode.CHECKPOINTS: ShownEvent.CHECKPOINTS,
    StreamMode.DEBUG: ShownEvent.DEBUG,
}


def shown_events(modes: Collection[StreamMode]) -> tuple[ShownEvent, ...]:
    """Return the events that a run must store for these modes, besides those that every run stores."""
    return tuple(event for mode, event in _SHOWN.items() if mode in modes)


def recorded_modes(shown: Collection[ShownEvent]) -> list[StreamMode]:
    """Return the modes that a run with these events can be seen in. Of the two forms of messages, only the pieces."""
    return [StreamMode.MESSAGES_TUPLE, *(mode for mode, event in _SHOWN.items() if event in shown)]
