"""The life of a message as data: which state may follow which, and why.

Every store makes exactly these transitions. `make docs` draws `docs/reference/state-machine.md` from this table.
"""

from typing import NamedTuple

from ..models.messages import MessageState

QUEUED = MessageState.QUEUED
PROCESSING = MessageState.PROCESSING
COMPLETED = MessageState.COMPLETED
FAILED = MessageState.FAILED
CANCELLED = MessageState.CANCELLED
INTERRUPTED = MessageState.INTERRUPTED


class Transition(NamedTuple):
    """An allowed change of state. `source` is None for a new message."""

    source: MessageState | None
    target: MessageState
    reason: str


TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, QUEUED, "accepted"),
    Transition(QUEUED, PROCESSING, "claimed by a worker"),
    Transition(QUEUED, CANCELLED, "cancelled before it started"),
    Transition(PROCESSING, COMPLETED, "the agent finished"),
    Transition(PROCESSING, FAILED, "the agent failed for good or too often, or its workers were lost too often"),
    Transition(PROCESSING, QUEUED, "the attempt failed, the worker was drained, or its lease ran out"),
    Transition(PROCESSING, CANCELLED, "cancelled while it ran"),
    Transition(PROCESSING, INTERRUPTED, "the agent asks a human"),
    Transition(INTERRUPTED, QUEUED, "resumed with an answer"),
    Transition(INTERRUPTED, CANCELLED, "cancelled before an answer came"),
    Transition(INTERRUPTED, FAILED, "no answer came in time"),
    Transition(FAILED, QUEUED, "requeued by an operator"),
)

TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED})


def is_allowed(source: MessageState | None, target: MessageState) -> bool:
    """Return whether the table has a transition from source to target."""
    return any(t.source is source and t.target is target for t in TRANSITIONS)


def as_mermaid() -> str:
    """Return the table as a Mermaid state diagram, with one line for each transition."""
    lines = ["stateDiagram-v2"]
    for source, target, reason in TRANSITIONS:
        lines.append(f"    {source or '[*]'} --> {target}: {reason}")
    lines += [f"    {state} --> [*]" for state in MessageState if state in TERMINAL]
    return "\n".join(lines)
