"""The heart: a connection without an event loop, so that agent code which blocks the loop loses no lease."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import redis
from redis.exceptions import ResponseError

from ...models.attempts import Beat, Lease
from ...models.workers import Worker
from ..rows import agents_text
from .connection import CUT, connection_options, mapped_errors
from .scripts import Script


class RedisLeaseRenewer:
    """Meets `app.store.ports.LeaseRenewer`. Its calls may be repeated, so a lost answer is asked for again."""

    def __init__(self, url: str, scripts: Mapping[str, Script], prefix: str, now: Callable[[], int]) -> None:
        options = connection_options(url)
        kind = options.pop("connection_class", redis.Connection)
        self._connection: Any = kind(**options)  # redis-py has no types here
        self._scripts = scripts
        self._prefix = prefix
        self._now = now

    def connect(self) -> None:
        """Raises StoreUnavailable."""
        with mapped_errors():
            self._connection.connect()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.disconnect()

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """See `LeaseRenewer.beat`."""
        named = [part for lease in leases for part in (lease.message_id, lease.fence)]
        lease_ms = int(lease_seconds * 1000)
        shown = (worker.id, worker.host, worker.pid, worker.slots, lease_ms, agents_text(worker))
        held = self._run("beat", self._now(), *shown, *named)
        return Beat(
            {message_id: fence for message_id, fence, _ in held},
            frozenset(message_id for message_id, _, cancelled in held if cancelled),
        )

    def stop(self, worker_id: str) -> None:
        """See `LeaseRenewer.stop`."""
        self._run("remove_worker", worker_id)

    def _run(self, script: str, *arguments: str | int) -> Any:
        """With the script's whole text: a beat is rare, and no server has to know it."""
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
