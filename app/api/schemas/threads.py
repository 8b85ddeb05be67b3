"""Replies about threads."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from ...models.messages import MessageState, Thread
from ...models.requests import Fork, ThreadCreation
from ...models.threads import MAX_TTL_MINUTES, ForkSource, ThreadChange, ThreadStatus
from ...models.types import Moment, Subject, Text, ThreadId
from .examples import CREATED, ENDED, THREAD_ID, example
from .messages import MessageStatus, MetadataView, SubjectView
from .metadata import Metadata

Name = Annotated[Text, Field(min_length=1, max_length=255)]

NAME = "The latest `name` that a message or a change has given the thread, null if there is none."

STATUS = (
    "`interrupted`: a message waits for a human. `busy`: messages are queued or processing. `error`: all have ended, "
    "and the one that ended last has failed. `idle`: none of these."
)

TTL = (
    "Minutes without activity after which the thread is deleted with its messages and what agents remember of it. Null "
    "stands for `THREAD_TTL_MINUTES`. A thread with unfinished messages stays."
)

Ttl = Annotated[float, Field(strict=True, gt=0, le=MAX_TTL_MINUTES, allow_inf_nan=False)]

METADATA = "The newest value of each key in the metadata of the thread's messages and in changes of the thread."

FORKED_FROM = "Where the thread was forked from, null if it was not."


class ThreadSummary(BaseModel):
    """A thread in the list of threads."""

    model_config = example(
        thread_id=THREAD_ID,
        message_count=2,
        created_at=CREATED,
        last_activity=ENDED,
        last_message_preview="Follow-up: What's its population?",
        name="Capitals",
        status="idle",
        metadata={"user": "u-17"},
        forked_from=None,
        subject="user-42",
        ttl=43_200.0,
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    last_message_preview: str
    name: str | None = Field(description=NAME)
    status: ThreadStatus = Field(description=STATUS)
    metadata: MetadataView = Field(description=METADATA)
    forked_from: ForkSource | None = Field(None, description=FORKED_FROM)
    subject: SubjectView = None
    ttl: float | None = Field(None, description=TTL)

    @classmethod
    def of(cls, thread: Thread) -> "ThreadSummary":
        """Return the reply for a thread."""
        return cls.model_construct(**{name: getattr(thread, name) for name in cls.model_fields})


class ThreadDetails(BaseModel):
    """A thread, with its messages counted by state."""

    model_config = example(
        thread_id=THREAD_ID,
        message_count=2,
        created_at=CREATED,
        last_activity=ENDED,
        states={"queued": 0, "processing": 0, "completed": 2, "failed": 0, "cancelled": 0, "interrupted": 0},
        name="Capitals",
        status="idle",
        metadata={"user": "u-17"},
        forked_from=None,
        subject="user-42",
        ttl=43_200.0,
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    states: dict[MessageState, int]
    name: str | None = Field(description=NAME)
    status: ThreadStatus = Field(description=STATUS)
    metadata: MetadataView = Field(description=METADATA)
    forked_from: ForkSource | None = Field(None, description=FORKED_FROM)
    subject: SubjectView = None
    ttl: float | None = Field(None, description=TTL)

    @classmethod
    def of(cls, thread: Thread) -> "ThreadDetails":
        """Return the reply for a thread."""
        return cls.model_construct(**{name: getattr(thread, name) for name in cls.model_fields})


class ThreadMessages(BaseModel):
    """A page of a thread's messages, oldest first. `total_messages` counts the messages of all pages."""

    thread_id: str
    total_messages: int
    messages: list[MessageStatus]


class ThreadCreate(BaseModel):
    """A new thread without messages."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Capitals", "metadata": {"user": "u-17"}}]}
    )

    thread_id: ThreadId | None = Field(None, description="The id of the new thread. By default a new UUID.")
    name: Name | None = Field(None, description="The name of the thread. By default it has none.")
    metadata: Metadata | None = Field(None, description="The metadata of the thread. By default it has none.")
    subject: Subject | None = Field(
        None,
        description="The end user to whom the thread belongs. By default the end user of the caller's token, if there "
        "is one.",
    )
    ttl: Ttl | None = Field(None, description=TTL)
    if_exists: Literal["raise", "do_nothing"] = Field(
        "raise",
        description="What to do if a thread has this id. `raise`: refuse with 409. `do_nothing`: return that thread as "
        "it is, with 200.",
    )

    def creation(self) -> ThreadCreation:
        """Return the request for the thread manager."""
        keeps_existing = self.if_exists == "do_nothing"
        return ThreadCreation(self.thread_id, self.name, self.metadata, self.subject, keeps_existing, self.ttl)


class ThreadPatch(BaseModel):
    """A change to a thread: a new name, values of its metadata, or a new TTL."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Capitals", "metadata": {"topic": "geography"}}]}
    )

    name: Name | None = Field(None, description="The new name. Null removes the name.")
    metadata: Metadata | None = Field(
        None, description="Values by key, which are merged into the thread's metadata. A null removes the key."
    )
    ttl: Ttl | None = Field(None, description=TTL)

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give a name, metadata or a ttl")
        return self

    def change(self) -> ThreadChange:
        """Return the change for the thread manager."""
        names = (self.name,) if "name" in self.model_fields_set else ()
        ttls = (self.ttl,) if "ttl" in self.model_fields_set else ()
        return ThreadChange(names, self.metadata, ttls)


class ThreadFork(BaseModel):
    """A new thread from a state of another one: at a checkpoint or after a message, by default the newest state."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Another way"}]})

    checkpoint_id: Name | None = Field(None, description="The checkpoint to begin with.")
    message_id: Name | None = Field(None, description="The message after whose run to begin. Not with a checkpoint.")
    thread_id: ThreadId | None = Field(None, description="The id of the new thread. By default a new UUID.")
    name: Name | None = Field(None, description="The name of the new thread. By default it has none.")
    metadata: Metadata | None = Field(None, description="The metadata of the new thread. By default it has none.")

    @field_validator("message_id")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("checkpoint_id") is not None:
            raise ValueError("give either checkpoint_id or message_id")
        return value

    def fork(self) -> Fork:
        """Return the request for the thread manager."""
        return Fork(self.checkpoint_id, self.message_id, self.thread_id, self.name, self.metadata)
