"""Bodies of requests about threads and their states."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ....api.schemas.metadata import Metadata
from ....models.messages import MetadataValue
from ....models.threads import MAX_TTL_MINUTES, ThreadFilter, ThreadOrder, ThreadSort, ThreadStatus
from ....models.types import Text, ThreadId
from ....text import storable_value
from ...ids import is_uuid
from .fields import CheckpointId, Name, NotTaken
from .metadata import NestedMetadata, flat

MAX_IDS = 100
MAX_STATES = 1_000
MAX_OFFSET = 10_000


def _uuid(text: str) -> str:
    """Return a UUID. Raises ValueError for any other text."""
    if not is_uuid(text):
        raise ValueError("expected a UUID")
    return text


def _minutes(value: Any) -> Any:
    """Return the minutes of a TTL in one of the forms in which clients give it; any other value as it is.

    Raises ValueError for a strategy that keeps a part of the thread.
    """
    if not isinstance(value, dict):
        return value
    if value.get("strategy", "delete") != "delete":
        raise ValueError("this server knows the strategy 'delete' only")
    return value.get("ttl")


ThreadTtl = Annotated[
    Annotated[float, Field(strict=True, gt=0, le=MAX_TTL_MINUTES, allow_inf_nan=False)], BeforeValidator(_minutes)
]
"""Minutes without activity, which clients give as a number or with a strategy."""

Limit = Annotated[int, Field(strict=True, ge=1, le=1_000)]
Offset = Annotated[int, Field(strict=True, ge=0, le=MAX_OFFSET)]


class ThreadCreate(BaseModel):
    """A new thread. `supersteps` are refused."""

    model_config = ConfigDict(extra="ignore")

    thread_id: Annotated[Text, AfterValidator(_uuid)] | None = None
    metadata: NestedMetadata | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    supersteps: NotTaken = None
    ttl: ThreadTtl | None = None


class ThreadPatch(BaseModel):
    """Values to merge into the metadata of a thread, and its new TTL."""

    model_config = ConfigDict(extra="ignore")

    metadata: NestedMetadata | None = None
    ttl: ThreadTtl | None = None


class ThreadMatch(BaseModel):
    """A filter of threads. Filters by values of states, and by arrays and objects in metadata, are refused."""

    model_config = ConfigDict(extra="ignore")

    metadata: Annotated[Metadata, AfterValidator(flat)] | None = None
    values: NotTaken = None
    status: ThreadStatus | None = None
    ids: Annotated[list[ThreadId], Field(max_length=MAX_IDS)] | None = None

    def chosen(self) -> ThreadFilter:
        """Return the filter for the thread manager."""
        return ThreadFilter(
            ids=None if self.ids is None else frozenset(self.ids),
            status=self.status,
            metadata={key: _as_text(value) for key, value in self.metadata.items()} if self.metadata else None,
        )


class ThreadSearch(ThreadMatch):
    """A search for threads. `select` names the fields to return; without `values`, no state is read."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[Name] | None = None
    extract: NotTaken = None

    def order(self) -> ThreadOrder:
        """Return the order for the thread manager: by default the latest creation first."""
        by = ThreadSort.UPDATED if self.sort_by in ("updated_at", "state_updated_at") else ThreadSort.CREATED
        return ThreadOrder(by, self.sort_order != "asc")


class StateRead(BaseModel):
    """A request for the state at a checkpoint."""

    model_config = ConfigDict(extra="ignore")

    checkpoint: CheckpointId
    subgraphs: bool | None = None
    select: NotTaken = None


class StateUpdate(BaseModel):
    """A change of a state, as if a node had returned the values."""

    model_config = ConfigDict(extra="ignore")

    values: Annotated[Any, AfterValidator(storable_value)] = None
    as_node: Name | None = None
    checkpoint: CheckpointId = None
    checkpoint_id: Name | None = None


class HistoryRead(BaseModel):
    """A request for the states of a thread, newest first."""

    model_config = ConfigDict(extra="ignore")

    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_STATES)] = 10
    before: CheckpointId = None
    checkpoint: CheckpointId = None
    metadata: NotTaken = None
    select: NotTaken = None


def _as_text(value: MetadataValue) -> str:
    """Return a value of metadata in the form in which filters match it."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
    return str(value)
