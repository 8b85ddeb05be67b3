"""The services that the HTTP side may call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from .access.request_limits import ReadLimits
from .access.rule import Access
from .access.sessions import Sessions
from .access.sign_in import SignIn
from .access.stream_limits import StreamLimits
from .access.tokens import Tokens
from .agents.descriptions import AgentDescriptions
from .agents.registry import AgentRegistry
from .bulk_manager import BulkManager
from .config import Settings
from .delivery_manager import DeliveryManager
from .doctor import Doctor
from .erasure_manager import ErasureManager
from .events.changes import ChangeStreams
from .events.tail import Streams
from .item_manager import ItemManager
from .list_manager import ListManager
from .observability.outages import Outage
from .observability.recent_streams import RecentStreams
from .observability.recorder import Recorder
from .queue_manager import QueueManager
from .statistics_manager import StatisticsManager
from .storage_manager import StorageManager
from .store.ports import EventLog, Store
from .thread_manager import ThreadManager
from .usage_manager import UsageManager


class WorkerStatus(Protocol):
    """The state of this process's worker."""

    @property
    def slots(self) -> int:
        """Return how many messages the worker runs at a time; 0 if the process has no worker."""

    @property
    def able(self) -> bool:
        """Return whether the worker can take messages."""

    @property
    def trouble(self) -> str:
        """Return what prevents the worker from running messages, now or soon; an empty text if nothing does."""


class Exposition(Protocol):
    """Gives the metrics as text."""

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and the media type for the header `Accept`."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one process. `metrics` is None if they are off."""

    settings: Settings
    access: Access
    tokens: Tokens
    sessions: Sessions
    sign_in: SignIn
    queue: QueueManager
    bulk: BulkManager
    lists: ListManager
    deliveries: DeliveryManager
    threads: ThreadManager
    items: ItemManager
    erasures: ErasureManager
    statistics: StatisticsManager
    usage: UsageManager
    storage: StorageManager
    read_limits: ReadLimits
    stream_limits: StreamLimits
    streams: Streams
    changes: ChangeStreams
    log: EventLog
    store: Store
    registry: AgentRegistry
    descriptions: AgentDescriptions
    worker: WorkerStatus
    prove_memory: Callable[[], Awaitable[None]]
    outage: Outage
    memory_outage: Outage
    recorder: Recorder
    metrics: Exposition | None
    doctor: Doctor
    recent_streams: RecentStreams
