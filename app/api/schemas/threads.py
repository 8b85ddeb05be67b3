"""Replies about threads."""

from pydantic import BaseModel, Field

from ...models.messages import MessageState, Thread
from ...models.types import Moment
from .examples import CREATED, ENDED, THREAD_ID, example
from .messages import MessageStatus, MetadataView

NAME = "The latest `name` of the thread's messages, null if there is none."

METADATA = "The newest value of each key in the metadata of the thread's messages."


class ThreadSummary(BaseModel):
    """A thread in the list of threads."""

    model_config = example(
        thread_id=THREAD_ID,
        message_count=2,
        created_at=CREATED,
        last_activity=ENDED,
        last_message_preview="Follow-up: What's its population?",
        name="Capitals",
        metadata={"user": "u-17"},
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    last_message_preview: str
    name: str | None = Field(description=NAME)
    metadata: MetadataView = Field(description=METADATA)

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
        metadata={"user": "u-17"},
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    states: dict[MessageState, int]
    name: str | None = Field(description=NAME)
    metadata: MetadataView = Field(description=METADATA)

    @classmethod
    def of(cls, thread: Thread) -> "ThreadDetails":
        """Return the reply for a thread."""
        return cls.model_construct(**{name: getattr(thread, name) for name in cls.model_fields})


class ThreadMessages(BaseModel):
    """A page of a thread's messages, oldest first. `total_messages` counts the messages of all pages."""

    thread_id: str
    total_messages: int
    messages: list[MessageStatus]
