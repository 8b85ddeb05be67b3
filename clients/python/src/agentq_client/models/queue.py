"""The queue, its workers, failed messages and webhooks."""

from __future__ import annotations

from datetime import datetime

from .base import Model
from .messages import FailedAttempt, RequeuedMessage


class QueuedMessage(Model):
    """A message that waits."""

    id: str
    priority: str
    created_at: datetime
    user_message: str
    thread_id: str | None = None
    agent: str


class ProcessingMessage(Model):
    """A message that runs."""

    id: str
    priority: str
    started_at: datetime | None = None
    user_message: str
    thread_id: str | None = None
    agent: str
    attempt: int = 0
    events: int = 0


class QueueState(Model):
    """The queue in numbers, its waiting messages in order, and the running ones."""

    total_queued: int
    total_processing: int
    total_completed: int
    total_failed: int
    total_cancelled: int = 0
    total_interrupted: int = 0
    paused: bool = False
    queued_messages: list[QueuedMessage] = []
    current_processing: ProcessingMessage | None = None
    processing_messages: list[ProcessingMessage] = []


class QueuePaused(Model):
    """Whether the queue is paused."""

    paused: bool


class DeadLetter(Model):
    """A message that has failed."""

    message_id: str
    user_message: str
    priority: str
    thread_id: str | None = None
    agent: str
    created_at: datetime
    failed_at: datetime | None = None
    reason: str
    error: str | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    attempt: int = 0
    crashes: int = 0
    attempts: list[FailedAttempt] = []
    subject: str | None = None


class DeadLetterGroup(Model):
    """Failed messages of one kind."""

    fingerprint: str
    count: int
    error: str
    error_code: str
    first_failed_at: datetime
    last_failed_at: datetime


class Requeued(Model):
    """The messages that are queued again."""

    message: str = ""
    requeued: list[RequeuedMessage]


class Purged(Model):
    """The ids of the messages that were deleted."""

    purged: list[str]


class DeliveryTry(Model):
    """A try of a delivery. `status` is that of the reply, None if none came."""

    at: datetime
    status: int | None = None
    error: str | None = None


class Delivery(Model):
    """A webhook's delivery with its tries."""

    id: str
    message_id: str
    thread_id: str | None = None
    url: str
    event: str
    state: str
    tries: int
    created_at: datetime
    next_at: datetime | None = None
    attempts: list[DeliveryTry] = []


class ServedAgent(Model):
    """An agent of a worker. `state` is `loading`, `available`, `failed` or `stuck`; `error` says why."""

    name: str
    state: str
    error: str | None = None
    version: str | None = None


class WorkerRun(Model):
    """A message that a worker runs."""

    message_id: str
    tenant: str
    agent: str


class WorkerLoad(Model):
    """The work of a worker: slots in use, memory of its process, text that its agents write, and what it runs.

    `memory_bytes` is None on hosts that do not tell. `runs` has only messages of the caller's tenant.
    """

    busy: int
    memory_bytes: int | None = None
    tokens_per_second: float
    runs: list[WorkerRun] = []


class Worker(Model):
    """A process that runs messages, as of its last heartbeat. `slots` is how many it runs at a time.

    `clock_ahead_ms` is by how much its clock is ahead of the store's. `agents` and `load` are None if it does not
    report them.
    `state` is `active`, `draining` or `drained`.
    """

    id: str
    host: str
    pid: int
    slots: int
    started_at: datetime
    last_beat: datetime
    clock_ahead_ms: int = 0
    state: str = "active"
    agents: list[ServedAgent] | None = None
    load: WorkerLoad | None = None
