"""Replies about the deliveries of webhooks."""

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from ...models.deliveries import DeliveryRecord
from .examples import ENDED, MESSAGE_ID, THREAD_ID, example


class DeliveryView(DeliveryRecord):
    """A delivery of a message's webhook: its event, its state, and every try."""

    model_config = example(
        id=f"{MESSAGE_ID}.1",
        message_id=MESSAGE_ID,
        thread_id=THREAD_ID,
        url="https://example.com/hook",
        event="completed",
        state="delivered",
        tries=1,
        created_at=ENDED,
        next_at=None,
        attempts=[{"at": ENDED, "status": 204, "error": None}],
    )

    tenant: SkipJsonSchema[Annotated[str, Field(exclude=True)]]
    receiver: SkipJsonSchema[Annotated[str | None, Field(exclude=True)]] = None

    @classmethod
    def of(cls, delivery: DeliveryRecord) -> "DeliveryView":
        """Return the view of a delivery."""
        return cls.model_construct(**dict(delivery))


class DeliveryList(BaseModel):
    """Deliveries. The list of one message has the oldest first, the list of all messages the newest first."""

    deliveries: list[DeliveryView]
