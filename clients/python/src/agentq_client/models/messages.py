"""Messages, and what becomes of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .base import Model


class WaitingReason(Model):
    """Why a message waits."""

    code: str
    message: str


class ModelCost(Model):
    """Tokens and cost. `cost` is in US dollars as a decimal text, None without a price."""

    calls: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    cost_complete: bool = True


class ModelUsage(ModelCost):
    """The usage of the calls of one model."""

    model: str


class MessageUsage(ModelCost):
    """The usage of a message."""

    models: list[ModelUsage] = []


class Accepted(Model):
    """A message that the server has stored. `queue_position` is None while it is delayed or already runs."""

    message_id: str
    state: str
    queue_position: int | None = None
    created_at: datetime
    thread_id: str | None = None
    agent: str
    estimated_start_at: datetime | None = None
    waiting_reason: WaitingReason | None = None
    run_at: datetime | None = None

    @property
    def is_replayed(self) -> bool:
        """Return whether an earlier request with this idempotency key had stored it."""
        return self.last_response.headers.get("idempotent-replayed") == "true"


class Regenerated(Accepted):
    """A message that answers an earlier one anew."""

    regenerates: str
    rolled_back: list[str] = []


class RequeuedMessage(Accepted):
    """A failed message that is queued again."""

    message: str = ""


class Question(Model):
    """A question of the agent to a human."""

    id: str
    value: Any


class Message(Model):
    """The status of a message. `result` is the answer's text, None until it has completed."""

    message_id: str
    state: str
    user_message: str
    priority: str
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: str | None = None
    output: Any = None
    error: str | None = None
    error_code: str | None = None
    queue_position: int | None = None
    thread_id: str | None = None
    agent: str
    agent_version: str | None = None
    attempt: int = 0
    estimated_start_at: datetime | None = None
    waiting_reason: WaitingReason | None = None
    run_at: datetime | None = None
    cancel_requested: bool = False
    interrupts: list[Question] = []
    interrupt_expires_at: datetime | None = None
    metadata: dict[str, Any] = {}
    usage: MessageUsage | None = None
    trace_id: str | None = None
    fingerprint: str | None = None
    subject: str | None = None


class FailedAttempt(Model):
    """An attempt that ended without a result."""

    attempt: int
    worker_id: str
    started_at: datetime
    ended_at: datetime
    error: str
    error_code: str
    node: str | None = None
    error_type: str | None = None
    where: str | None = None
    traceback: str | None = None


class MessageDetails(Message):
    """A message with what its submit gave and its failed attempts. None stands for what was not given."""

    attempts: list[FailedAttempt] = []
    crashes: int = 0
    max_attempts: int | None = None
    timeout: float | None = None
    webhook_url: str | None = None
    webhook_events: list[str] | None = None
    message: Any = None
    input: Any = None
    context: Any = None
    config: dict[str, Any] | None = None
    events: list[str] = []
    client_message_id: str | None = None
    command: dict[str, Any] | None = None
    continue_: bool = Field(default=False, alias="continue")
    checkpoint_id: str | None = None
    interrupt_before: Any = None
    interrupt_after: Any = None
    aliases: list[str] = []


class Cancellation(Model):
    """The outcome of a cancel: `state` is still `processing` while the agent is being stopped."""

    message_id: str
    state: str
    message: str = ""


class CancelledQueued(Model):
    """A queued message that was cancelled."""

    message_id: str
    message: str = ""


class Cancellations(Model):
    """The ids of the messages that were cancelled, and of those that are being stopped."""

    cancelled: list[str]
    stopping: list[str]


class Reprioritized(Model):
    """The ids of the queued messages whose priority was changed."""

    reprioritized: list[str]


class Answered(Model):
    """An interrupted message that goes on with an answer. `message_id` is the alias, if one was given."""

    message_id: str
    state: str = "queued"
    thread_id: str | None = None
