"""Attempts at messages: claims, leases, heartbeats and outcomes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel

from .failures import FailureDetails
from .messages import Message
from .types import Moment


class AttemptEnd(BaseModel):
    """The worker of an attempt, its times, and the error that ended it."""

    attempt: int
    worker_id: str
    started_at: Moment
    ended_at: Moment
    error: str
    error_code: str


class FailedAttempt(FailureDetails, AttemptEnd):
    """An attempt that ended without a result."""


class Lease(NamedTuple):
    """A worker's right to one attempt. Every write of the attempt includes it, and `fence` proves it."""

    message_id: str
    fence: int
    attempt: int
    worker_id: str


class Claim(NamedTuple):
    """A message that a worker has claimed, with the lease of its attempt."""

    lease: Lease
    message: Message

    @property
    def waiting_since(self) -> datetime | None:
        """Return since when the message could be claimed; None unless this is its first attempt."""
        message = self.message
        if self.lease.attempt != 1 or message.crashes or message.resume_value is not None:
            return None
        return message.created_at if message.run_at is None else max(message.created_at, message.run_at)


@dataclass(frozen=True, slots=True)
class Completed:
    """The agent's answer. `output` has the form of `Message.output`."""

    result: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a message that failed for good. `error` is safe to show, `code` is stable.

    `fingerprint` is the same for failures of one kind.
    """

    error: str
    code: str
    fingerprint: str = ""
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """The outcome of a failed attempt. The next attempt follows in `delay` seconds. Other fields are as in `Failed`."""

    error: str
    code: str
    delay: float
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The outcome of an attempt that asks a human. The attempt does not count.

    `interrupts` has the form of `Message.interrupt`. The question expires after `ttl_seconds`.
    """

    interrupts: str
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The outcome of a run that was stopped by a cancel."""


@dataclass(frozen=True, slots=True)
class Released:
    """The outcome of an attempt that the worker gives up. The attempt does not count.

    The message can be claimed again in `delay` seconds.
    """

    reason: str
    delay: float = 0.0


Outcome = Completed | Failed | Retry | Interrupted | Cancelled | Released


class Beat(NamedTuple):
    """The answer to a heartbeat: the valid fences by message id, and the ids of cancelled messages among them.

    `draining` tells whether the worker has to claim no messages and to end its runs.
    """

    held: dict[str, int]
    cancelled: frozenset[str]
    draining: bool = False
