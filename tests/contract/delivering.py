"""Deliveries for tests: of messages that ended, taken and tried."""

from app.clock import to_datetime
from app.models.deliveries import Delivery, DeliveryAttempt
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import ALL, DONE, TENANT, start

URL = "https://example.com/hook?a=b"
TRY_SECONDS = 30.0
MILLISECOND = 0.001


async def of(store: Store, message_id: str, tenant: str = TENANT) -> list[Delivery]:
    return await store.list_deliveries(tenant, message_id)


async def ended(store: Store, **fields: str) -> Delivery:
    """The delivery of a message that has just ended."""
    lease = await start(store, **{"webhook_url": URL, **fields})
    await store.finish(lease, DONE)
    (delivery,) = await of(store, lease.message_id, fields.get("tenant", TENANT))
    return delivery


async def take(store: Store, limit: int = ALL) -> list[Delivery]:
    return await store.claim_deliveries(limit, lease_seconds=TRY_SECONDS)


async def take_one(store: Store) -> Delivery:
    (taken,) = await take(store)
    return taken


def tried(clock: ManualClock, status: int | None = 200, error: str | None = None) -> DeliveryAttempt:
    return DeliveryAttempt(at=to_datetime(clock.now()), status=status, error=error)
