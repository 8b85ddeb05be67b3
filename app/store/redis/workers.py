"""Renews leases on a connection without an event loop, and lists workers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import ResponseError
from typing_extensions import override

from ...models.agents import AgentDescription
from ...models.attempts import Beat, Lease
from ...models.workers import Worker
from ..ports import LeaseRenewer, WorkerStore
from ..rows import agents_text, load_text
from . import replies
from .connection import CUT, connection_options, mapped_errors
from .rooms import RedisRooms, changed_if_any
from .scripts import Script


class RedisWorkers(RedisRooms, WorkerStore):
    """Implements `WorkerStore` on Redis."""

    _url: str
    _scripts: Mapping[str, Script]
    _prefix: str

    @override
    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        renewer = RedisLeaseRenewer(self._url, self._scripts, self._prefix, self._now)
        try:
            renewer.connect()
            yield renewer
        finally:
            renewer.close()

    @override
    async def list_workers(self) -> list[Worker]:
        return replies.workers(await self._reads.run("list_workers"))

    @override
    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        if descriptions:
            named = [part for each in descriptions for part in (each.name, each.model_dump_json())]
            await self._writes.run("describe_agents", self._now(), *named, topics=changed_if_any)

    @override
    async def list_agents(self) -> list[AgentDescription]:
        found = map(AgentDescription.model_validate_json, await self._reads.run("list_agents"))
        return sorted(found, key=lambda each: each.name)


class RedisLeaseRenewer(LeaseRenewer):
    """A lease renewer. It repeats a call whose connection broke, since every call is safe to repeat."""

    def __init__(self, url: str, scripts: Mapping[str, Script], prefix: str, now: Callable[[], int]) -> None:
        options = connection_options(url)
        kind = options.pop("connection_class", redis.Connection)
        self._connection: Any = kind(**options)  # redis-py has no types here
        self._scripts = scripts
        self._prefix = prefix
        self._now = now

    def connect(self) -> None:
        """Connect. Raises StoreUnavailable."""
        with mapped_errors():
            self._connection.connect()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    @override
    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        named = [part for lease in leases for part in (lease.message_id, lease.fence)]
        lease_ms = int(lease_seconds * 1000)
        shown = (
            worker.id,
            worker.host,
            worker.pid,
            worker.slots,
            lease_ms,
            agents_text(worker),
            worker.clock_ahead_ms,
            load_text(worker),
            worker.state.value,
        )
        draining, held = self._run("beat", self._now(), *shown, *named)
        return Beat(
            {message_id: fence for message_id, fence, _ in held},
            frozenset(message_id for message_id, _, cancelled in held if cancelled),
            bool(draining),
        )

    @override
    def stop(self, worker_id: str) -> None:
        self._run("stop", self._now(), worker_id)

    def _run(self, script: str, *arguments: str | int) -> Any:
        # Heartbeats are rare, so each sends the whole script.
        command = ("EVAL", self._scripts[script].text, 1, self._prefix, *arguments)
        with mapped_errors():
            try:
                return self._ask(*command)
            except ResponseError:
                raise
            except CUT:
                return self._ask(*command)

    def _ask(self, *command: str | int) -> Any:
        try:
            self._connection.connect()
            self._connection.send_command(*command)
            return self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            self._connection.disconnect()
            raise
