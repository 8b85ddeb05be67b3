"""The store on Redis or Valkey: a writing lane, a reading lane, a listener for hints, a heart for each worker."""

import contextlib
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime

from ...clock import Clock, SteadyClock, to_datetime
from ...errors import MessageNotFound, StoreIncompatible, ThreadNotFound
from ...models.events import EventPage
from ...models.messages import Message, Page, Thread
from ...models.workers import Worker
from ...policy.rank import RankPolicy
from ..ports import PAGE_LOG_LENGTH, PAGE_TEXT_LENGTH, Capabilities, LeaseRenewer, Subscription
from ..signals import LocalNotifier
from . import replies
from .command_pipeline import CommandPipeline, Listener, WritePipeline
from .connection import Link, inspect, mapped_errors, refusal
from .lease_renewer import RedisLeaseRenewer
from .operating import Operating
from .running import Running
from .scripts import load_scripts

SCHEMA_VERSION = 1


class RedisStore(Operating, Running):
    """Meets `app.store.ports.Store`. All keys begin with `{prefix}`, so that one server can serve several queues."""

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
        self._allow_volatile = allow_volatile
        self._prefix = f"{{{prefix}}}"
        self._scripts = load_scripts()
        self._notifier = LocalNotifier()
        self._capabilities = Capabilities("redis", durable=True, promise="messages survive kill -9")
        process = uuid.uuid4().hex
        channel = f"{self._prefix}:hints"
        self._write_link = Link(url)
        writes = WritePipeline(
            self._write_link,
            self._scripts,
            self._prefix,
            process=process,
            channel=channel,
            publish=self._notifier.publish,
        )
        reads = CommandPipeline(Link(url), self._scripts, self._prefix)
        super().__init__(writes, reads, ranks or RankPolicy(), clock or SteadyClock())
        self._listener = Listener(Link(url, socket_timeout=None), channel, process, self._notifier.publish)

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
                await self._read_clock()
        except BaseException:
            await self.close()
            raise

    async def _open_queue(self) -> None:
        """Make the queue unless there is one; refuse what is not ours, or newer."""
        script = self._scripts["open"].text
        version = await self._write_link.ask("EVAL", script, 1, self._prefix, SCHEMA_VERSION, uuid.uuid4().hex)
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

    def now(self) -> datetime:
        """See `AcceptStore.now`."""
        return to_datetime(self._clock.now())

    # Event log

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """See `EventLog.read`."""
        reply = await self._reads.run("read", tenant, message_id, after, limit, PAGE_LOG_LENGTH)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.event_page(reply)

    # Threads

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """See `QueryStore.list_threads`."""
        reply = await self._reads.run("list_threads", tenant, page.limit, *(page.cursor or ("", "")))
        return [replies.thread(columns) for columns in reply]

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """See `QueryStore.get_thread`."""
        reply = await self._reads.run("get_thread", tenant, thread_id)
        if reply is None:
            raise ThreadNotFound(thread_id)
        return replies.thread(reply)

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """See `QueryStore.list_thread_messages`."""
        reply = await self._reads.run("list_thread_messages", tenant, thread_id, after, limit, PAGE_TEXT_LENGTH)
        if reply is None:
            raise ThreadNotFound(thread_id)
        return [replies.message(*each) for each in reply]

    # Workers

    @contextlib.contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        """See `WorkerStore.open_lease_renewer`."""
        renewer = RedisLeaseRenewer(self._url, self._scripts, self._prefix, self._now)
        try:
            renewer.connect()
            yield renewer
        finally:
            renewer.close()

    async def list_workers(self) -> list[Worker]:
        """See `WorkerStore.list_workers`."""
        return replies.workers(await self._reads.run("list_workers"))

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """See `UpkeepStore.prune_workers`."""
        await self._writes.run("prune_workers", self._now(), int(silent_for_seconds * 1000))

    # Signals

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """See `Notifier.subscribe`."""
        return self._notifier.subscribe(*topics)

    def publish(self, *topics: str) -> None:
        """See `Notifier.publish`."""
        self._notifier.publish(*topics)
