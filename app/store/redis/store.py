"""The store on Redis or Valkey: a writing lane, a reading lane, a listener for hints, a heart for each worker."""

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from app.clock import Clock
from app.errors import (
    LeaseLost,
    MessageNotFound,
    NotCancellable,
    QueueFull,
    StoreIncompatible,
    ThreadNotFound,
)
from app.models import (
    Claim,
    Completed,
    EventPage,
    Failed,
    Lease,
    Message,
    MessageState,
    NewEvent,
    NewMessage,
    Outcome,
    Page,
    QueueSummary,
    Released,
    Thread,
    Worker,
)
from app.store.base import (
    MAX_CRASHES,
    MOVED,
    PAGE_LOG_LENGTH,
    PAGE_TEXT_LENGTH,
    READY,
    Capabilities,
    Heart,
    RankPolicy,
    Subscription,
    message_topic,
)
from app.store.hub import Hub
from app.store.redis import replies, templates
from app.store.redis.connection import Link, inspect, mapped_errors, refusal
from app.store.redis.heart import RedisHeart
from app.store.redis.lane import Lane, Listener, WriteLane
from app.store.redis.scripts import load_scripts
from app.store.rows import accepted, preview

SCHEMA_VERSION = 1
RESCUE_BATCH = 100


class RedisStore:
    """Meets `app.store.base.Store`. All keys begin with `{prefix}`, so that one server can serve several queues."""

    def __init__(
        self,
        url: str,
        *,
        ranks: RankPolicy | None = None,
        clock: Clock | None = None,
        allow_volatile: bool = False,
        prefix: str = "agent_queue",
    ) -> None:
        self._url = url
        self._ranks = ranks or RankPolicy()
        self._clock = clock
        self._allow_volatile = allow_volatile
        self._prefix = f"{{{prefix}}}"
        self._scripts = load_scripts()
        self._hub = Hub()
        self._capabilities = Capabilities("redis", durable=True, promise="messages survive kill -9")
        process = uuid.uuid4().hex
        channel = f"{self._prefix}:hints"
        self._write_link = Link(url)
        self._writes = WriteLane(
            self._write_link, self._scripts, self._prefix, process=process, channel=channel, publish=self._hub.publish
        )
        self._reads = Lane(Link(url), self._scripts, self._prefix)
        self._listener = Listener(Link(url, socket_timeout=None), channel, process, self._hub.publish)

    @property
    def capabilities(self) -> Capabilities:
        """What this server promises; known once the store is open."""
        return self._capabilities

    # Life

    async def open(self) -> None:
        """See `Store.open`."""
        try:
            with mapped_errors(refusal):
                await self._write_link.connect()
                self._capabilities = await inspect(self._write_link, allow_volatile=self._allow_volatile)
                await self._open_queue()
                await self._writes.open()
                await self._reads.open()
                await self._listener.open()
        except BaseException:
            await self.close()
            raise

    async def _open_queue(self) -> None:
        """Make the queue unless there is one; refuse what is not ours, or newer."""
        text = self._scripts["open"].text
        version = await self._write_link.ask("EVAL", text, 1, self._prefix, SCHEMA_VERSION, uuid.uuid4().hex)
        if version is None or not version.isdecimal():
            raise StoreIncompatible(
                f"The database has keys under {self._prefix} that are not of this program; name another database."
            )
        if int(version) > SCHEMA_VERSION:
            raise StoreIncompatible(
                f"The queue has schema version {version}, this program knows versions up to {SCHEMA_VERSION}. "
                "Start the newer version of the program."
            )

    async def close(self) -> None:
        """See `Store.close`."""
        await self._writes.close()
        await self._reads.close()
        await self._listener.close()

    async def queue_id(self) -> str:
        """See `Store.queue_id`."""
        name: str = await self._reads.run("queue_id")
        return name

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._reads.run("ping")

    # Messages

    async def add(self, new: NewMessage, *, max_queued: int) -> Message:
        """See `MessageStore.add`."""
        reply = await self._writes.run(
            "add", self._now(), max_queued, new.id, new.tenant, new.thread_id or "", new.agent, new.content,
            new.priority.value, self._ranks.rank(new.priority.level, 0), preview(new.content), topics=_topics_of_add,
        )  # fmt: skip
        if reply is None:
            raise QueueFull(max_queued)
        number, thread_number, now, position, _ = reply
        return accepted(new, number, thread_number, now, position)

    async def get(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.get`."""
        reply = await self._reads.run("get", tenant, message_id)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.message(*reply)

    async def cancel(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.cancel`."""

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, message_topic(message_id)) if isinstance(reply, list) else ()

        reply = await self._writes.run("cancel", self._now(), tenant, message_id, templates.cancelled(), topics=topics)
        if reply is None:
            raise MessageNotFound(message_id)
        if isinstance(reply, str):
            raise NotCancellable(message_id, MessageState(reply))
        return replies.message(reply)

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """See `MessageStore.summary`."""
        return replies.summary(await self._reads.run("summary", tenant, limit, PAGE_TEXT_LENGTH))

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """See `MessageStore.claim`."""

        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *(message_topic(columns[1]) for columns in reply)) if reply else ()

        reply = await self._writes.run(
            "claim", self._now(), worker_id, limit, int(lease_seconds * 1000), templates.processing(),
            *sorted(set(agents)), topics=topics,
        )  # fmt: skip
        messages = map(replies.message, reply)
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `MessageStore.finish`."""

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, message_topic(lease.message_id)) if reply else ()

        held = (self._now(), lease.message_id, lease.fence)
        match outcome:
            case Completed(result):
                done = self._writes.run(
                    "finish", *held, MessageState.COMPLETED.value, templates.ended(outcome), result, topics=topics
                )
            case Failed(error, code):
                done = self._writes.run(
                    "finish", *held, MessageState.FAILED.value, templates.ended(outcome), error, code, topics=topics
                )
            case Released(reason, delay):
                done = self._writes.run("release", *held, int(delay * 1000), templates.retry(reason), topics=topics)
        if await done is None:
            raise LeaseLost(lease.message_id, lease.fence)

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """See `MessageStore.rescue`."""

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, *map(message_topic, reply)) if reply else ()

        reply = await self._writes.run(
            "rescue", self._now(), max_crashes, RESCUE_BATCH, templates.retry("The worker was lost."),
            templates.worker_lost_too_often(), templates.WORKER_LOST_TOO_OFTEN, templates.WORKER_LOST_CODE,
            topics=topics,
        )  # fmt: skip
        return len(reply)

    async def promote(self) -> int:
        """See `MessageStore.promote`."""
        promoted: int = await self._writes.run(
            "promote", self._now(), topics=lambda count: (READY, MOVED) if count else ()
        )
        return promoted

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_logs`."""
        count, alone = await self._writes.run("prune_logs", self._now(), int(older_than_seconds * 1000), limit)
        return count, [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone]

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_messages`."""
        age = int(older_than_seconds * 1000)
        count, alone, threads = await self._writes.run("prune_messages", self._now(), age, limit)
        keys = [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone]
        return count, keys + [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]

    # Event log

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`."""

        def topics(reply: Any) -> Iterable[str]:
            return (message_topic(lease.message_id),) if reply else ()

        last: int | None = await self._writes.run(
            "append", lease.message_id, lease.fence, *map(templates.stored, events), topics=topics
        )
        if last is None:
            raise LeaseLost(lease.message_id, lease.fence)
        return last

    async def read(self, message_id: str, *, after: int, limit: int) -> EventPage:
        """See `EventLog.read`."""
        reply = await self._reads.run("read", message_id, after, limit, PAGE_LOG_LENGTH)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.event_page(reply)

    # Threads

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """See `ThreadStore.list_threads`."""
        reply = await self._reads.run("list_threads", tenant, page.limit, *(page.cursor or ("", "")))
        return [replies.thread(columns) for columns in reply]

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """See `ThreadStore.get_thread`."""
        reply = await self._reads.run("get_thread", tenant, thread_id)
        if reply is None:
            raise ThreadNotFound(thread_id)
        return replies.thread(reply)

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """See `ThreadStore.list_thread_messages`."""
        reply = await self._reads.run("list_thread_messages", tenant, thread_id, after, limit, PAGE_TEXT_LENGTH)
        if reply is None:
            raise ThreadNotFound(thread_id)
        return [replies.message(*each) for each in reply]

    # Workers

    @contextlib.contextmanager
    def open_heart(self) -> Iterator[Heart]:
        """See `WorkerStore.open_heart`."""
        heart = RedisHeart(self._url, self._scripts, self._prefix, self._now)
        try:
            heart.connect()
            yield heart
        finally:
            heart.close()

    async def list_workers(self) -> list[Worker]:
        """See `WorkerStore.list_workers`."""
        return replies.workers(await self._reads.run("list_workers"))

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """See `WorkerStore.prune_workers`."""
        await self._writes.run("prune_workers", self._now(), int(silent_for_seconds * 1000))

    # Signals

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """See `Signals.subscribe`."""
        return self._hub.subscribe(*topics)

    def publish(self, *topics: str) -> None:
        """See `Signals.publish`."""
        self._hub.publish(*topics)

    def _now(self) -> int | str:
        """The time for a script; nothing for the server's own."""
        now = None if self._clock is None else self._clock.now()
        return "" if now is None else now


def _topics_of_add(reply: Any) -> Iterable[str]:
    if reply is None:
        return ()
    return (MOVED, READY) if reply[4] else (MOVED,)
