"""Finds who is told of the events of a message: its webhook and its receivers, as the stores keep them. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import TypeAdapter

from ..models.deliveries import ENDS, Receiver
from ..models.messages import MessageState

_RECEIVERS = TypeAdapter(tuple[Receiver, ...])


def receivers_text(receivers: Sequence[Receiver]) -> str | None:
    """Return receivers as JSON, None without one."""
    return _RECEIVERS.dump_json(tuple(receivers), exclude_none=True).decode() if receivers else None


def receivers_of(text: str | None) -> tuple[Receiver, ...]:
    """Return receivers from their stored text."""
    return () if text is None else _RECEIVERS.validate_json(text)


class Told(NamedTuple):
    """Somebody who is told of a state, with the id of the delivery. `receiver` is as in `DeliveryRecord`."""

    delivery_id: str
    url: str
    receiver: str | None = None


def told_of(
    url: str | None, events: str | None, receivers: str | None, state: MessageState, delivery_id: str
) -> list[Told]:
    """Return who is told when a message enters `state`.

    `url` is its webhook; `events` is the JSON of its webhook events, None for the terminal states. `receivers` is the
    stored text. `delivery_id` is the id of the delivery to the webhook. Those to receivers have their keys behind it.
    """
    told = []
    if url is not None and (state.value in ENDS if events is None else f'"{state}"' in events):
        told.append(Told(delivery_id, url))
    return told + [Told(f"{delivery_id}.{each.key}", each.url, each.key) for each in receivers_of(receivers)]


def interrupt_delivery_id(message_id: str, number: int, event_id: int) -> str:
    """Return the id of the delivery for an interrupt. It has the event id, since a message may interrupt again."""
    return f"{message_id}.{number}.{event_id}"
