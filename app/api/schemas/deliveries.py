"""Replies about the deliveries of webhooks."""

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from ...models.deliveries import DeliveryRecord
from .examples import ENDED, MESSAGE_ID, THREAD_ID, example


class DeliveryView(DeliveryRecord):
    """A call of a message's webhook: its event, the state of the delivery, and every try."""

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

    @classmethod
    def of(cls, delivery: DeliveryRecord) -> "DeliveryView":
        """Return the view of a delivery."""
        return cls.model_construct(**dict(delivery))


class DeliveryList(BaseModel):
    """Deliveries. Those of one message are listed oldest first, those of all messages newest first."""

    deliveries: list[DeliveryView]
