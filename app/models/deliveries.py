"""Deliveries: what a message's webhook reports, and every try to report it."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from .types import Moment


class WebhookEvent(StrEnum):
    """A state of a message that its webhook can report."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ENDS = (WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED)
"""The default of `webhook_events`."""


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryAttempt(BaseModel):
    """One try at a delivery: the status that the receiver answered with, or why there is none."""

    model_config = ConfigDict(frozen=True)

    at: Moment
    status: int | None
    error: str | None


class DeliveryRecord(BaseModel):
    """A delivery without the data that it carries.

    `id` is the same for all tries. `event` is the reported event. `tries` counts the tries since the last replay, and
    is the fence of a try: it is higher after each claim. `next_at` is None once the delivery has ended. `attempts` has
    all tries, oldest first.
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


class Delivery(DeliveryRecord):
    """A delivery for the URL that was given with its message. `data` is the stored event's data, as JSON."""

    data: str


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Selects deliveries that match all given fields. None in `states` or `events` means all."""

    message_id: str | None = None
    states: frozenset[DeliveryState] | None = None
    events: frozenset[WebhookEvent] | None = None
