"""Replies about the deliveries of webhooks."""

from pydantic import BaseModel

from ...models.deliveries import DeliveryRecord, DeliveryStatus
from .examples import ENDED, MESSAGE_ID, THREAD_ID, example


class DeliveryView(DeliveryStatus):
    """A call of a message's webhook: the state it tells, how far the delivery came, and every try."""

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

    @classmethod
    def of(cls, delivery: DeliveryRecord) -> "DeliveryView":
        """Return the view of a delivery."""
        return cls.model_construct(**{name: getattr(delivery, name) for name in cls.model_fields})


class DeliveryList(BaseModel):
    """Deliveries: of one message the oldest first, of all messages the newest first."""

    deliveries: list[DeliveryView]
