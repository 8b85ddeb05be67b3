"""Deliveries of webhooks, and every try to make them."""

import json
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .types import Moment


class WebhookEvent(StrEnum):
    """A state of a message that its webhook can report."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ENDS = (WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED)
"""The default of `webhook_events`."""


class WebhookForm(StrEnum):
    """The form of a webhook's body.

    `message` is this server's own. `response` is that of OpenAI's API, which tells of a response. `task` is a task of
    A2A 1.0, and `task-0.3` one of A2A 0.3.
    """

    MESSAGE = "message"
    RESPONSE = "response"
    TASK = "task"
    OLD_TASK = "task-0.3"


class Receiver(BaseModel):
    """A receiver of a message's events beside its webhook. It gets every `WebhookEvent`.

    Clients replace and remove a receiver by its `name`. `key` is another one after each replacement, and names the
    receiver in deliveries. `token` is a text by which the receiver knows the sender, or None. `signing_key` is the id
    of the API key whose secret signs; None means the server's secret.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    url: str
    form: WebhookForm
    token: str | None = None
    signing_key: str | None = None
    key: str = Field(default_factory=lambda: f"r{token_hex(6)}")


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryAttempt(BaseModel):
    """One try at a delivery: the status of the receiver's answer, or an error if the try failed."""

    model_config = ConfigDict(frozen=True)

    at: Moment
    status: int | None
    error: str | None


class DeliveryRecord(BaseModel):
    """A delivery without the data that it sends.

    `id` is the same for all tries. `tries` counts the tries since the last replay. It is also the fence of a try, since
    each claim raises it. `next_at` is None once the delivery has ended. `attempts` has all tries, oldest first.
    `receiver` is the key of a `Receiver`; None stands for the webhook of the message.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    message_id: str
    thread_id: str | None
    url: str
    event: WebhookEvent
    state: DeliveryState
    tries: int
    created_at: Moment
    next_at: Moment | None
    attempts: tuple[DeliveryAttempt, ...]
    receiver: str | None = None


class Delivery(DeliveryRecord):
    """A delivery with its data: the data of the stored event, as JSON."""

    data: str


class SenderDetails(NamedTuple):
    """The fields of a message that only the sender of a delivery reads.

    `secret` signs the delivery; None means the server's secret. `trace` is the text of a `Trace`, or None. `options`
    is the text of `MessageOptions`, or None. `alias` is the alias of the newest answer that has one, or None.
    `receiver` is the text of the delivery's `Receiver`; None if it was removed, or if the delivery has none.
    """

    secret: str | None = None
    trace: str | None = None
    options: str | None = None
    alias: str | None = None
    receiver: str | None = None

    @property
    def form(self) -> WebhookForm:
        """Return the form of the bodies that are sent."""
        if self.receiver is not None:
            return self.named_receiver.form
        return WebhookForm(json.loads(self.options or "{}").get("webhook_form", WebhookForm.MESSAGE))

    @property
    def token(self) -> str | None:
        """Return the text by which a receiver knows the sender; None without one."""
        return None if self.receiver is None else self.named_receiver.token

    @property
    def named_receiver(self) -> Receiver:
        """Return the receiver of the delivery, which must have one."""
        assert self.receiver is not None, "the delivery is to the webhook of the message"
        return Receiver.model_validate_json(self.receiver)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Selects deliveries that match all given fields. None means any value."""

    message_id: str | None = None
    states: frozenset[DeliveryState] | None = None
    events: frozenset[WebhookEvent] | None = None
