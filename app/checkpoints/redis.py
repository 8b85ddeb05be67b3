"""A LangGraph saver on Redis or Valkey without modules, with the fence of `app.checkpoints.sqlite`.

`app.checkpoints.redis_rows` defines the rows and their names. Each write is one script that checks the fence first.
"""

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from typing_extensions import override

from ..config import CHECKPOINT_HISTORY
from ..store.redis import connection
from .fence import config_of, has_begun, lease_lost, place_of
from .known_lists import Conversation, Numbering, SplitValues, new_numbering
from .pruning import Pruning, without_rows
from .ranges import numbers_in
from .redis_changes import READ_AT_ONCE, Change, Choose, RedisChanges, change_of, read_rows
from .redis_client import CLIENT_NAME, TIMEOUT_SECONDS, ScriptPipeline, flat, mapped_errors
from .redis_rows import (
    NUL,
    CheckpointRow,
    encoded_of,
    encoded_row,
    keys_of,
    message_names,
    newest,
    numbering_of,
    numbering_row,
    packed,
    parts_of,
    row_of,
    rows_of_writes,
    turn_of,
    unfinished,
    unpacked,
    value_name,
)
from .saver import FencedSaver
from .task_writes import TaskWrites

SCAN_COUNT = 1000
SAVED, NUMBERED_OTHERWISE = 1, -1
"""Replies of `save.lua`. With the second, nothing was saved, since another process has added messages."""


class FencedRedisSaver(FencedSaver):
    """The agents' memory on Redis or Valkey."""

    def __init__(
        self, client: Redis, scripts: ScriptPipeline, queue_id: str, state_types: Collection[str], history: int
    ) -> None:
        super().__init__(queue_id, state_types, history)
        self._client = client
        self._scripts = scripts
        self._changes = RedisChanges(client, self.serde)

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
        namespace, conversation = config["configurable"].get("checkpoint_ns", ""), self._conversation(config)
        found = await self._tuple(config, namespace, get_checkpoint_id(config), conversation)
        self._known.shrink(config["configurable"]["thread_id"])
        return found

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
        conversations: defaultdict[str, Conversation] = defaultdict(Conversation)
        count = 0
        for checkpoint_id, thread_id, ns in sorted(names, reverse=True):
            if limit is not None and count >= limit:
                return
            if wanted_ns not in (None, ns) or wanted_id not in (None, checkpoint_id) or (end and checkpoint_id >= end):
                continue
            place: RunnableConfig = {"configurable": {"thread_id": thread_id}}
            found = await self._tuple(place, ns, checkpoint_id, conversations[thread_id])
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
        finished: Sequence[TaskWrites],
    ) -> None:
        namespace, thread_id = config["configurable"]["checkpoint_ns"], config["configurable"]["thread_id"]
        conversation = self._conversation(config)
        begins = self._begins_turn(config, metadata)
        kept, replaced = rows_of_writes(config["configurable"], finished)
        for written in finished:
            conversation.note_writes(namespace, written.values)
        async with conversation.saving:
            while True:
                numbering = conversation.numbering or new_numbering()
                split = conversation.split(namespace, checkpoint["channel_values"], numbering, self.serde.dumps_typed)
                rows = replaced | self._rows_of(config, checkpoint, metadata, new_versions, split)
                expected = (numbering_row(numbering) if numbering.next else "new") if split.lists else ""
                most = self._most_checkpoints if begins else -1
                found = await self._fenced(
                    "save", config, len(kept), expected, most, READ_AT_ONCE, *flat(kept), *flat(rows)
                )
                if found != NUMBERED_OTHERWISE:
                    break
                conversation.use(numbering_of(await self._call("HGET", keys_of(thread_id)[2], "n")))
            conversation.keep(namespace, split)
        if found != SAVED:
            await self._prune(config, lambda rows: self._pruning(config, metadata, [row.stored for row in rows]), found)
        if begins:
            conversation.begin_turn()
        self._known.shrink(thread_id)

    def _rows_of(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        split: SplitValues,
    ) -> dict[str, bytes]:
        """Return the rows of a checkpoint, by their names."""
        namespace = config["configurable"]["checkpoint_ns"]
        versions = checkpoint["channel_versions"]
        header = {
            "parent": get_checkpoint_id(config),
            "values": [value_name(namespace, *item) for item in versions.items() if item[0] not in split.lists],
            "lists": split.stored and split.stored.as_json(),
            "turn": turn_of(metadata),
        }
        body = {
            "checkpoint": {key: value for key, value in checkpoint.items() if key != "channel_values"},
            "metadata": metadata,
        }
        rows = {
            value_name(namespace, channel, version): packed(self.serde, {}, split.values[channel])
            for channel, version in new_versions.items()
            if channel in split.values
        }
        rows |= {f"m{NUL}{number}": encoded_row({}, encoded) for number, encoded in split.added.items()}
        if split.lists:
            rows["n"] = numbering_row(Numbering(split.numbering.id, split.next_number)).encode()
        rows[NUL.join(("c", namespace, checkpoint["id"]))] = packed(self.serde, header, body)
        return rows

    @override
    async def _save_writes(self, config: RunnableConfig, written: TaskWrites) -> None:
        kept, rows = rows_of_writes(config["configurable"], [written])
        await self._fenced("save", config, len(kept), "", -1, 0, *flat(kept), *flat(rows))
        self._conversation(config).note_writes(config["configurable"].get("checkpoint_ns", ""), written.values)

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        await self._call("UNLINK", *keys_of(thread_id)[1:])
        self._known.drop([thread_id])

    @override
    async def forget(self, memory_keys: list[str]) -> None:
        if memory_keys:
            await self._call("UNLINK", *(name for key in memory_keys for name in keys_of(key)))
            self._known.drop(memory_keys)

    @override
    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        return await self._scripts.measure(map(keys_of, memory_keys))

    @override
    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        with mapped_errors():
            async with self._client.pipeline(transaction=True) as transaction:
                for source, target in list(zip(keys_of(source_thread_id), keys_of(target_thread_id), strict=True))[1:]:
                    transaction.copy(source, target, replace=True)
                await transaction.execute()
        self._known.drop([target_thread_id])

    @override
    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        with mapped_errors():
            is_copied = await self._changes.copy_until(source_key, checkpoint_id, target_key)
        self._known.drop([target_key])
        return is_copied

    @override
    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        for thread_id in await self._threads() if run_ids else ():
            await self._keep_without(_place(thread_id), run_ids)

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        await self._keep_without(config_of(memory_key, memory_fence), message_ids)

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        await self._change(config_of(memory_key, memory_fence), lambda saved: Change(unfinished(saved.names)))
        self._known.drop([memory_key])

    @override
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown prune strategy: {strategy!r}")
        for thread_id in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread_id)
            else:
                await self._refuse_deltas(thread_id)
                await self._keep(_place(thread_id), newest)

    async def _fenced(self, script: str, config: RunnableConfig, *arguments: Any) -> Any:
        """Run a script that checks the fence first, and return its reply. Raises LeaseLost."""
        mark = self._mark_of(config)
        attempt = (mark.queue, mark.message, mark.fence, int(has_begun(config))) if mark else ("", "", "", "")
        keys = keys_of(config["configurable"]["thread_id"])
        reply = await self._scripts.call(script, keys, *attempt, *arguments)
        if mark and reply == 0:
            raise lease_lost(config, mark)
        return reply

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

    async def _tuple(
        self, config: RunnableConfig, namespace: str, checkpoint_id: str | None, conversation: Conversation
    ) -> CheckpointTuple | None:
        """Return the checkpoint with this id, or the namespace's newest if the id is None; None if there is none."""
        thread_id = config["configurable"]["thread_id"]
        while True:
            found = await self._fenced("read", config, namespace, checkpoint_id or "")
            if found is None:
                return None
            name, row, values, writes, numbering = found
            stored = row_of(self.serde, name, row)
            lists = await self._lists_of(thread_id, stored, numbering_of(numbering), conversation)
            if lists is not None:
                break
        channel_values = {
            value_name.split(NUL)[2]: unpacked(self.serde, value)[1]
            for value_name, value in zip(stored.values, values, strict=True)
            if value is not None
        }
        body = self.serde.loads_typed(stored.body)
        checkpoint = cast(Checkpoint, {**body["checkpoint"], "channel_values": channel_values | lists})
        parent = place_of(thread_id, namespace, stored.parent_id) if stored.parent_id else None
        of = place_of(thread_id, namespace, stored.id)
        return CheckpointTuple(of, checkpoint, body["metadata"], parent, self._writes(writes))

    async def _lists_of(
        self, thread_id: str, row: CheckpointRow, numbering: Numbering | None, conversation: Conversation
    ) -> dict[str, Any] | None:
        """Return the lists of a checkpoint. Return None if the checkpoint was deleted meanwhile.

        Raises StateUnreadable.
        """
        if row.lists is None:
            return {}
        key = keys_of(thread_id)[2]
        reading = conversation.begin_read(row.namespace, row.lists)
        numbers = reading.missing
        with mapped_errors():
            rows = await read_rows(self._client, key, message_names(numbers))
            if None in rows and not await cast(Any, self._client).hexists(key, row.name):
                return None
        read = {
            number: encoded_of(each)[1]
            for number, each in zip(numbers_in(numbers), rows, strict=True)
            if each is not None
        }
        known_next = numbering.next if numbering and numbering.id == row.lists.numbering else 0
        return reading.end(read, self.serde.loads_typed, known_next)

    def _writes(self, found: Iterable[tuple[bytes, bytes]]) -> Any:
        writes: dict[tuple[str, str, int], PendingWrite] = {}
        for name, row in found:
            *_, task_id, number = parts_of(name)
            header, value = unpacked(self.serde, row)
            writes[writes_sort_key(header["path"], task_id, int(number))] = (task_id, header["channel"], value)
        return [write for _, write in sorted(writes.items())]

    async def _refuse_deltas(self, thread_id: str) -> None:
        async for found in self.alist({"configurable": {"thread_id": thread_id}}):
            values = found.checkpoint["channel_values"].values()
            if "counters_since_delta_snapshot" in found.metadata or any(isinstance(v, _DeltaSnapshot) for v in values):
                raise NotImplementedError(f"A DeltaChannel needs the earlier checkpoints of {thread_id!r}.")

    async def _keep_without(self, config: RunnableConfig, run_ids: Collection[str]) -> None:
        """Delete the checkpoints of these runs. Raises LeaseLost."""
        await self._keep(config, lambda rows: [row for row in rows if row.run_id not in run_ids])

    async def _keep(
        self, config: RunnableConfig, choose: Callable[[Sequence[CheckpointRow]], Iterable[CheckpointRow]]
    ) -> None:
        """Delete all checkpoints but the chosen ones, with their writes and values. Raises LeaseLost."""

        def choose_rows(rows: Sequence[CheckpointRow]) -> Pruning:
            kept = {row.place for row in choose(rows)}
            stored = [row.stored for row in rows]
            return without_rows(stored, [row for row in stored if row.place not in kept])

        await self._prune(config, choose_rows)
        self._known.drop([config["configurable"]["thread_id"]])

    async def _prune(
        self, config: RunnableConfig, choose: Callable[[Sequence[CheckpointRow]], Pruning], listed: Any = None
    ) -> None:
        """Delete what the pruning chooses. Raises LeaseLost. `listed` is the reply of `list.lua`, if it is known."""
        await self._change(config, lambda saved: change_of(saved, choose(saved.checkpoints)), listed)

    async def _change(self, config: RunnableConfig, choose: Choose, listed: Any = None) -> None:
        """Delete and write the chosen rows. Raises LeaseLost."""

        async def run(script: str, *arguments: Any) -> Any:
            return await self._fenced(script, config, *arguments)

        with mapped_errors():
            await self._changes.apply(config["configurable"]["thread_id"], choose, run, listed)


def _place(thread_id: str) -> RunnableConfig:
    """Return the config for calls outside of attempts."""
    return {"configurable": {"thread_id": thread_id}}


@asynccontextmanager
async def open_saver(
    url: str, queue_id: str, state_types: Collection[str] = (), history: int = CHECKPOINT_HISTORY
) -> AsyncIterator[FencedRedisSaver]:
    """Open the saver on this server for the queue with this id. Connect at the first call."""
    client = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(
            NoBackoff(), 1
        ),  # every script may run twice; a pooled connection may be older than the server's restart
        client_name=CLIENT_NAME,
        driver_info=None,  # Redis 6.2 has no command for it
    )
    pool = client.connection_pool
    pool.connection_class = connection.quick(pool.connection_class)
    scripts = ScriptPipeline(url)
    await scripts.open()
    try:
        async with client:
            yield FencedRedisSaver(client, scripts, queue_id, state_types, history)
    finally:
        await scripts.close()
