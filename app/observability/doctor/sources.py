"""The data that checks are given. `app.doctor` reads it from the store, the process and the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ...config import Settings
from ...models.diagnosis import EngineReading, SampledMessage
from ...models.keys import ApiKey
from ...models.statistics import QueueFigures
from ...models.workers import Throughput, Worker

SAMPLE_SIZE = 500
"""Maximum number of messages of each kind that are looked at."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """Facts that only a server process knows of itself, without secrets. An empty text means nothing to tell.

    `abandoned` counts runs and threads of ended messages that do not stop.
    Of the streams that ended lately, `left_streams` has the seconds after which connections were closed from outside,
    `slow_streams` counts readers that were disconnected since they took nothing, `failed_streams` those that this
    server could not serve any more, and `whole_streams` those that got everything.
    """

    beating: bool
    abandoned: int
    blocked: str
    memory_problem: str
    left_streams: Sequence[float]
    slow_streams: int
    failed_streams: int
    whole_streams: int


class Sources(Protocol):
    """The readings of one examination. Each is read at most once, whoever asks.

    Methods that read the store raise StoreError. `tenant` is the tenant whose ids may be shown; None shows all.
    `process` is None where no server is examined from inside.
    """

    settings: Settings
    tenant: str | None
    process: ProcessState | None

    def now(self) -> datetime:
        """Return the store's time."""

    def wall_clock(self) -> datetime:
        """Return the time of this host."""

    @property
    def durable(self) -> bool:
        """Return whether stored messages survive the end of the processes."""

    async def ping(self) -> None:
        """Check that the store answers and takes writes."""

    async def figures(self) -> QueueFigures:
        """Return the figures of the queue."""

    async def throughput(self) -> Throughput:
        """Return slots, running messages, and whether the queue is paused."""

    async def workers(self) -> Sequence[Worker]:
        """Return the live workers."""

    async def sample(self) -> Sequence[SampledMessage]:
        """Return up to SAMPLE_SIZE messages of each kind, see `DiagnosisStore.sample_messages`."""

    async def engine(self) -> Sequence[EngineReading]:
        """Return what the engine has used up."""

    async def keys(self) -> Sequence[ApiKey]:
        """Return the API keys whose ids may be shown."""

    async def any_key(self) -> bool:
        """Return whether there is an API key that is not revoked."""
