"""The ports of the store. `tests/contract` checks every backend against their docstrings.

One object implements all ports over one database. A change of state and its event are therefore one transaction. Each
consumer asks for the narrow port that it needs. These rules hold for every method:

- A worker passes its `Lease` with every write. If the message has another fence by then, the store writes nothing and
  raises `LeaseLost` (tests/contract/test_fences.py).
- A method returns after the commit. Its changes then survive what `Capabilities.promise` says.
- Every change of state writes its event in the same transaction. A log ends with its only terminal event
  (tests/contract/test_events.py).
- `StoreUnavailable` means that nothing was written and that a later try may succeed. `CommitUnknown` means that the
  connection broke during a write, and that the store cannot say whether the write was committed.
"""

from typing import Protocol

from ..handles import Capabilities
from .accept import AcceptStore
from .access import AccessStore
from .attempts import AttemptStore
from .audit import AuditStore
from .control import ControlStore
from .counts import CountStore
from .diagnosis import DiagnosisStore
from .erasures import ErasureStore
from .events import EventLog
from .items import ItemStore
from .limits import LimitStore
from .queries import QueryStore
from .shares import ShareStore
from .signals import ACCESS, CANCELS, CHANGED, MOVED, READY, WORKERS, Notifier, message_topic
from .statistics import StatisticsStore
from .storage import StorageStore
from .tenants import TenantStore
from .threads import ThreadStore
from .tokens import TokenStore
from .traces import TraceStore
from .transitions import TransitionLog
from .upkeep import UpkeepStore
from .usage import UsageStore
from .webhooks import WebhookStore
from .workers import LeaseRenewer, WorkerStore

__all__ = [
    "ACCESS",
    "CANCELS",
    "CHANGED",
    "MOVED",
    "READY",
    "WORKERS",
    "AcceptStore",
    "AccessStore",
    "AttemptStore",
    "AuditStore",
    "ControlStore",
    "CountStore",
    "DiagnosisStore",
    "ErasureStore",
    "EventLog",
    "ItemStore",
    "LeaseRenewer",
    "LimitStore",
    "Notifier",
    "QueryStore",
    "ShareStore",
    "StatisticsStore",
    "StorageStore",
    "Store",
    "TenantStore",
    "ThreadStore",
    "TokenStore",
    "TraceStore",
    "TransitionLog",
    "UpkeepStore",
    "UsageStore",
    "WebhookStore",
    "WorkerStore",
    "message_topic",
]


class Store(
    LimitStore,  # before AcceptStore: the engines accept messages with it
    AcceptStore,
    ControlStore,
    AttemptStore,
    EventLog,
    QueryStore,
    ThreadStore,
    UpkeepStore,
    WebhookStore,
    WorkerStore,
    ItemStore,
    AccessStore,
    TokenStore,
    TenantStore,
    TraceStore,
    StatisticsStore,
    ShareStore,
    TransitionLog,
    UsageStore,
    AuditStore,
    DiagnosisStore,
    CountStore,
    StorageStore,
    ErasureStore,
    Notifier,
    Protocol,
):
    """All ports over one database."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what this backend promises."""

    async def open(self) -> None:
        """Connect, and create or migrate what the store needs.

        Raises StoreUnavailable, StoreIncompatible, ConfigurationError.
        """

    async def close(self) -> None:
        """Close all connections and threads. A second call does nothing."""

    async def queue_id(self) -> str:
        """Return the id of this queue. A queue that is created again in the same place gets another id."""

    async def ping(self) -> None:
        """Check that the store answers. Raises StoreUnavailable."""
