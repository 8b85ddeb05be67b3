"""Replies about the whole queue and its workers."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from ...access.principals import Principal
from ...models.messages import Priority, QueueSummary
from ...models.types import Moment
from ...models.workers import Worker
from .examples import CREATED, ENDED, MESSAGE_ID, STARTED, THREAD_ID, example

RUNNING = {
    "id": MESSAGE_ID,
    "priority": "normal",
    "started_at": STARTED,
    "user_message": "What is the capital of France?",
    "thread_id": THREAD_ID,
    "agent": "chat",
    "attempt": 1,
    "events": 57,
}


class QueuedMessage(BaseModel):
    """A queued message."""

    id: str
    priority: Priority
    created_at: Moment
    user_message: str
    thread_id: str | None
    agent: str


class ProcessingMessage(BaseModel):
    """A message that a worker processes. `events` is the number of events in its log, 0 if it was just deleted."""

    id: str
    priority: Priority
    started_at: Moment | None
    user_message: str
    thread_id: str | None
    agent: str
    attempt: int
    events: int


class QueueState(BaseModel):
    """The queue at one moment. The lists hold the first `limit` messages. The totals count all messages."""

    model_config = example(
        total_queued=1,
        total_processing=1,
        total_completed=23,
        total_failed=2,
        total_cancelled=1,
        total_interrupted=0,
        paused=False,
        queued_messages=[
            {
                "id": MESSAGE_ID,
                "priority": "high",
                "created_at": CREATED,
                "user_message": "Urgent request...",
                "thread_id": None,
                "agent": "chat",
            }
        ],
        current_processing=RUNNING,
        processing_messages=[RUNNING],
    )

    total_queued: int
    total_processing: int
    total_completed: int
    total_failed: int
    total_cancelled: int
    total_interrupted: int
    paused: bool
    queued_messages: list[QueuedMessage]
    current_processing: ProcessingMessage | None
    processing_messages: list[ProcessingMessage]

    @classmethod
    def of(cls, summary: QueueSummary, events: Mapping[str, int], *, paused: bool) -> "QueueState":
        """Return the reply for a summary. `events` has the number of events of running messages by their ids."""
        shared = ("id", "priority", "thread_id", "agent")
        processing = [
            ProcessingMessage.model_construct(
                **{name: getattr(m, name) for name in shared},
                started_at=m.started_at,
                user_message=m.content,
                attempt=m.attempt,
                events=events.get(m.id, 0),
            )
            for m in summary.processing
        ]
        queued = [
            QueuedMessage.model_construct(
                **{name: getattr(m, name) for name in shared}, created_at=m.created_at, user_message=m.content
            )
            for m in summary.queued
        ]
        return cls.model_construct(
            **{f"total_{state}": count for state, count in summary.totals.items()},  # type: ignore[arg-type]  # fields
            paused=paused,
            queued_messages=queued,
            current_processing=processing[0] if processing else None,
            processing_messages=processing,
        )


class WorkerList(BaseModel):
    """The live processes on all hosts that run messages, oldest first.

    A process is live if it sent a heartbeat within the length of a lease.
    """

    model_config = example(
        workers=[
            {
                "id": "host-1-4711-7c9201dc2f6c",
                "host": "host-1",
                "pid": 4711,
                "slots": 4,
                "started_at": CREATED,
                "last_beat": ENDED,
                "clock_ahead_ms": 3,
                "state": "active",
                "agents": [{"name": "chat", "state": "available", "error": None, "version": "v2"}],
                "load": {
                    "busy": 1,
                    "memory_bytes": 251_658_240,
                    "tokens_per_second": 31.5,
                    "runs": [{"message_id": MESSAGE_ID, "tenant": "default", "agent": "chat"}],
                },
            }
        ]
    )

    workers: list[Worker]

    @classmethod
    def of(cls, workers: Sequence[Worker], caller: Principal) -> "WorkerList":
        """Return the list for a caller, who sees the runs of their tenant, and none if they may see only some."""
        return cls(workers=[_shown(each, caller) for each in workers])


def _shown(worker: Worker, caller: Principal) -> Worker:
    if worker.load is None:
        return worker
    runs = () if caller.is_narrowed else tuple(run for run in worker.load.runs if run.tenant == caller.tenant)
    return worker.model_copy(update={"load": worker.load.model_copy(update={"runs": runs})})


class QueuePaused(BaseModel):
    """Whether the queue is paused. Even then, running messages go on and new messages are accepted."""

    model_config = example(paused=True)

    paused: bool
