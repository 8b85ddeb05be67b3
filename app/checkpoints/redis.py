"""A LangGraph saver on Redis or Valkey without modules, with the fence of `app.checkpoints.sqlite`.

A row is a header in JSON, a NUL, and the serializer's bytes. `app.checkpoints.redis_rows` defines the names of the
rows. Each write is one script that checks the fence first.
"""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from importlib.resources import files
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from typing_extensions import override

from ..errors import StoreError
from ..store.redis import connection
from .answers import Writes
from .fence import config_of, lease_lost, place_of
from .redis_rows import NUL, CheckpointRow, keys_of, newest, parts_of, unfinished, unneeded, value_name
from .saver import FencedSaver

SCAN_COUNT = 1000
TIMEOUT_SECONDS = 5


class FencedRedisSaver(FencedSaver):
    """The agents' memory on Redis or Valkey."""

    def __init__(self, client: Redis, queue_id: str, state_types: Collection[str]) -> None:
        super().__init__(queue_id, state_types)
        self._client = client
        self._take = client.register_script(_lua("fence", "take"))
        self._write = client.register_script(_lua("fence", "save"))
        self._look_up = client.register_script(_lua("fence", "read"))

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return the next version; versions sort as text. Two branches of a conversation never get the same version."""
        number = 1 if current is None else int(current.partition(".")[0]) + 1
        return f"{number:020}.{secrets.token_hex(8)}"

    @override
    async def ping(self) -> None:
        with mapped_errors():
            await cast(Any, self._client).ping()

    @override
    async def _read(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._tuple(config, config["configurable"].get("checkpoint_ns", ""), get_checkpoint_id(config))

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        configurable = config["configurable"] if config else {}
        names = []
        for thread_id in [configurable["thread_id"]] if config else await self._threads():
            names += [(checkpoint_id, thread_id, ns) for ns, checkpoint_id in await self._names(thread_id)]
        wanted_ns, wanted_id = configurable.get("checkpoint_ns"), configurable.get("checkpoint_id")
        end = get_checkpoint_id(before) if before else None
        count = 0
        for checkpoint_id, thread_id, ns in sorted(names, reverse=True):
            if limit is not None and count >= limit:
                return
            if wanted_ns not in (None, ns) or wanted_id not in (None, checkpoint_id) or (end and checkpoint_id >= end):
                continue
            found = await self._tuple({"configurable": {"thread_id": thread_id}}, ns, checkpoint_id)
            if found and all(found.metadata.get(key) == value for key, value in (filter or {}).items()):
                count += 1
                yield found

    @override
    async def _save(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> None:
        namespace = config["configurable"]["checkpoint_ns"]
        values = checkpoint["channel_values"]
        header = {
            "parent": get_checkpoint_id(config),
            "values": [value_name(namespace, *item) for item in checkpoint["channel_versions"].items()],
        }
        body = {
            "checkpoint": {key: value for key, value in checkpoint.items() if key != "channel_values"},
            "metadata": metadata,
        }
        rows = {
            value_name(namespace, channel, version): self._packed({}, values[channel])
            for channel, version in new_versions.items()
            if channel in values
        }
        rows[NUL.join(("c", namespace, checkpoint["id"]))] = self._packed(header, body)
        await self._fenced(self._write, config, "0", *_flat(rows))

    @override
    async def _save_writes(self, config: RunnableConfig, writes: Writes, task_id: str, task_path: str) -> None:
        configurable = config["configurable"]
        first = NUL.join(("w", configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"], task_id))
        rows = {
            f"{first}{NUL}{WRITES_IDX_MAP.get(channel, number)}": self._packed(
                {"channel": channel, "path": task_path}, value
            )
            for number, (channel, value) in enumerate(writes)
        }
        keep = any(channel not in WRITES_IDX_MAP for channel, _ in writes)
        await self._fenced(self._write, config, "1" if keep else "0", *_flat(rows))

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        await self._call("UNLINK", *keys_of(thread_id)[1:])

    @override
    async def forget(self, memory_keys: list[str]) -> None:
        if memory_keys:
            await self._call("UNLINK", *(name for key in memory_keys for name in keys_of(key)))

    @override
    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        with mapped_errors():
            async with self._client.pipeline(transaction=True) as transaction:
                for source, target in list(zip(keys_of(source_thread_id), keys_of(target_thread_id), strict=True))[1:]:
                    transaction.copy(source, target, replace=True)
                await transaction.execute()

    @override
    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        for thread_id in await self._threads() if run_ids else ():
            await self._keep(thread_id, lambda rows: [row for row in rows if row.metadata.get("run_id") not in run_ids])

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        config = config_of(memory_key, memory_fence)
        await self._fenced(self._take, config)
        await self._keep(
            memory_key, lambda rows: [row for row in rows if row.metadata.get("run_id") not in message_ids], config
        )

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        config = config_of(memory_key, memory_fence)
        await self._fenced(self._take, config)
        await self._drop(memory_key, unfinished, config)

    @override
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown prune strategy: {strategy!r}")
        for thread_id in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread_id)
            else:
                await self._refuse_deltas(thread_id)
                await self._keep(thread_id, newest)

    async def _fenced(self, script: Callable[..., Any], config: RunnableConfig, *arguments: Any) -> Any:
        """Run a script that checks the fence first, and return its reply. Raises LeaseLost."""
        mark = self._mark_of(config)
        attempt = (mark.queue, mark.message, mark.fence) if mark else ("", "", "")
        with mapped_errors():
            reply = await script(keys=keys_of(config["configurable"]["thread_id"]), args=[*attempt, *arguments])
        if mark and reply == 0:
            raise lease_lost(config, mark)
        return reply

    def _check(self, stored: dict[bytes, bytes], config: RunnableConfig) -> None:
        """Raise LeaseLost if the stored mark is not the attempt's."""
        mark = self._mark_of(config)
        if mark and stored != {
            name.encode(): str(getattr(mark, name)).encode() for name in ("queue", "message", "fence")
        }:
            raise lease_lost(config, mark)

    async def _call(self, *command: Any) -> Any:
        with mapped_errors():
            return await cast(Any, self._client).execute_command(*command)

    async def _threads(self) -> Iterable[str]:
        first = keys_of("")[1]
        with mapped_errors():
            return {key.decode()[len(first) :] async for key in self._client.scan_iter(f"{first}*", SCAN_COUNT)}

    async def _names(self, thread_id: str) -> Sequence[tuple[str, str]]:
        """Return the namespace and the id of each checkpoint of a thread."""
        found = await self._call("ZRANGEBYLEX", keys_of(thread_id)[1], "[c\0", "(c\1")
        return [(namespace, checkpoint_id) for namespace, checkpoint_id in map(parts_of, found)]

    async def _tuple(self, config: RunnableConfig, namespace: str, checkpoint_id: str | None) -> CheckpointTuple | None:
        """Return the checkpoint with this id, or the namespace's newest if the id is None; None if there is none."""
        thread_id = config["configurable"]["thread_id"]
        found = await self._fenced(self._look_up, config, namespace, checkpoint_id or "")
        if found is None:
            return None
        name, row, values, writes = found
        stored = self._row(name, row)
        channel_values = {
            value_name.split(NUL)[2]: self._unpacked(value)[1]
            for value_name, value in zip(stored.values, values, strict=True)
            if value is not None
        }
        checkpoint = cast(Checkpoint, {**stored.checkpoint, "channel_values": channel_values})
        parent = place_of(thread_id, namespace, stored.parent_id) if stored.parent_id else None
        of = place_of(thread_id, namespace, stored.id)
        return CheckpointTuple(of, checkpoint, stored.metadata, parent, self._writes(writes))

    def _writes(self, found: Iterable[tuple[bytes, bytes]]) -> Any:
        writes: dict[tuple[str, str, int], PendingWrite] = {}
        for name, row in found:
            *_, task_id, number = parts_of(name)
            header, value = self._unpacked(row)
            writes[writes_sort_key(header["path"], task_id, int(number))] = (task_id, header["channel"], value)
        return [write for _, write in sorted(writes.items())]

    def _row(self, name: bytes, row: bytes) -> CheckpointRow:
        namespace, checkpoint_id = parts_of(name)
        header, body = self._unpacked(row)
        return CheckpointRow(
            namespace, checkpoint_id, header["parent"], header["values"], body["checkpoint"], body["metadata"]
        )

    def _packed(self, header: dict[str, Any], value: Any) -> bytes:
        kind, dumped = self.serde.dumps_typed(value)
        return json.dumps({**header, "type": kind}).encode() + b"\0" + dumped

    def _unpacked(self, row: bytes) -> tuple[dict[str, Any], Any]:
        header, _, dumped = row.partition(b"\0")
        fields: dict[str, Any] = json.loads(header)
        return fields, self.serde.loads_typed((fields["type"], dumped))

    async def _refuse_deltas(self, thread_id: str) -> None:
        async for found in self.alist({"configurable": {"thread_id": thread_id}}):
            values = found.checkpoint["channel_values"].values()
            if "counters_since_delta_snapshot" in found.metadata or any(isinstance(v, _DeltaSnapshot) for v in values):
                raise NotImplementedError(f"A DeltaChannel needs the earlier checkpoints of {thread_id!r}.")

    async def _keep(
        self,
        thread_id: str,
        choose: Callable[[Sequence[CheckpointRow]], Iterable[CheckpointRow]],
        config: RunnableConfig | None = None,
    ) -> None:
        """Delete all checkpoints but the chosen ones, with their writes and values. Retry if the conversation changed.

        `config` is the attempt's; None outside attempts. Raises LeaseLost if a later attempt has begun.
        """

        def gone(saved: dict[bytes, bytes]) -> Sequence[str]:
            checkpoints = [self._row(n, row) for n, row in saved.items() if n.startswith(b"c\0")]
            return unneeded(map(bytes.decode, saved), checkpoints, choose(checkpoints))

        await self._drop(thread_id, gone, config)

    async def _drop(
        self, thread_id: str, choose: Callable[[dict[bytes, bytes]], Sequence[str]], config: RunnableConfig | None
    ) -> None:
        """Delete the chosen rows. Retry if the conversation changed. Raises LeaseLost if a later attempt has begun."""
        fence, index, rows = keys_of(thread_id)
        with mapped_errors():
            async with cast(Any, self._client).pipeline() as transaction:
                while True:
                    await transaction.watch(fence, rows)
                    if config is not None:
                        self._check(await transaction.hgetall(fence), config)
                    gone = choose(await transaction.hgetall(rows))
                    if not gone:
                        return
                    transaction.multi()
                    transaction.hdel(rows, *gone)
                    transaction.zrem(index, *gone)
                    try:
                        await transaction.execute()
                    except exceptions.WatchError:
                        continue
                    return


def _flat(rows: dict[str, bytes]) -> Iterator[str | bytes]:
    for item in rows.items():
        yield from item


def _lua(*names: str) -> str:
    folder = files(__name__.rpartition(".")[0]).joinpath("lua")
    return "\n".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)


def mapped_errors() -> AbstractContextManager[None]:
    """Raise this program's errors in place of redis-py's."""
    return connection.mapped_errors(_memory_error)


def _memory_error(error: Exception) -> StoreError:
    return type(connection.mapped(error))(f"The agents' memory cannot be used: {error}")


@asynccontextmanager
async def open_saver(url: str, queue_id: str, state_types: Collection[str] = ()) -> AsyncIterator[FencedRedisSaver]:
    """Open the saver on this server for the queue with this id. Connect at the first call."""
    client = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(
            NoBackoff(), 1
        ),  # every script may run twice; a pooled connection may be older than the server's restart
        client_name="agent-queue-memory",
        driver_info=None,  # Redis 6.2 has no command for it
    )
    pool = client.connection_pool
    pool.connection_class = connection.cut_when_closed(pool.connection_class)
    async with client:
        yield FencedRedisSaver(client, queue_id, state_types)
