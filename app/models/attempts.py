"""Attempts at messages: claims, leases, heartbeats and outcomes."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import BaseModel

from .failures import FailureDetails
from .messages import Message
from .types import Moment


class AttemptEnd(BaseModel):
    """The worker of an attempt, its times, and what ended it."""

    attempt: int
    worker_id: str
    started_at: Moment
    ended_at: Moment
    error: str
    error_code: str


class FailedAttempt(FailureDetails, AttemptEnd):
    """An attempt that ended without a result."""


class Lease(NamedTuple):
    """A worker's right to one attempt. Every write of the attempt carries it; `fence` proves it."""

    message_id: str
    fence: int
    attempt: int
    worker_id: str


class Claim(NamedTuple):
    """A message that a worker has taken, with its right to it."""

    lease: Lease
    message: Message


@dataclass(frozen=True, slots=True)
class Completed:
    """The agent answered; `output` as in `Message`."""

    result: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The message failed for good. `error` is safe to show, `code` is stable, `fingerprint` names the kind."""

    error: str
    code: str
    fingerprint: str = ""
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; the next one is in `delay` seconds. The other fields are as in `Failed`."""

    error: str
    code: str
    delay: float
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The agent asks a human for `ttl_seconds`. `interrupts` is as in `Message`. The attempt is not counted."""

    interrupts: str
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was stopped because somebody cancelled the message."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the message back, to be claimed in `delay` seconds; the attempt is not counted."""

    reason: str
    delay: float = 0.0


Outcome = Completed | Failed | Retry | Interrupted | Cancelled | Released


class Beat(NamedTuple):
    """The answer to a heartbeat: the fences that hold, by message id, and which of these messages are cancelled."""

    held: dict[str, int]
    cancelled: frozenset[str]
