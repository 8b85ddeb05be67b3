"""Pipelines of commands: the operations that gather while one batch runs are the next batch.

There is no timer, so a lone caller never waits. Each operation is atomic. Neighbouring operations of one writing
script are one call, because starting such a script takes half of its time. Only a task of the pipeline talks to the
server. A cancelled caller therefore leaves no unread reply behind.

When a connection breaks, the server may have done an operation without a reply, or not. The pipeline sends such
operations once more, unchanged, on a new connection. `lua/shared/once.lua` repeats the reply of operations that were
done.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError, ResponseError
from typing_extensions import override

from ...errors import AgentQueueError, CommitUnknown, StoreError, StoreUnavailable
from .connection import (
    CUT,
    Link,
    is_of_replica,
    mapped,
    pack,
    pack_arguments,
    packed_command,
    unavailable,
)
from .scripts import Script

MAX_BATCH = 256
MAX_CALL = 64
"""Maximum number of operations in one call. A longer call saves nothing and delays others."""
MAX_CALL_BYTES = 256 * 1024
"""Maximum bytes of arguments in one call. A single operation may have more."""
MAX_CALL_ARGUMENTS = 2_000
"""Maximum number of arguments in one call: enough for MAX_CALL messages added one by one."""

CONNECT_AGAIN_SECONDS = 0.05

Argument = str | int
Topics = Callable[[Any], Iterable[str]]


class Operation(NamedTuple):
    """One caller's script with its packed arguments. `topics` returns the topics of the hints for a reply."""

    script: Script
    argument_count: int
    arguments: bytes
    topics: Topics | None
    future: asyncio.Future[Any]
    is_recorded: bool = False
    """Whether the last argument is a record for the audit log."""


class CommandPipeline:
    """One connection and the task that owns it. Opened and used from one event loop."""

    settle_seconds = 0.0
    """Time to try for a new connection when the old one broke before all replies came."""

    def __init__(self, link: Link, scripts: Mapping[str, Script], prefix: str) -> None:
        self._link = link
        self._scripts = scripts
        self._keys: tuple[str, ...] = (prefix,)
        self._gathering: list[Operation] = []
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect and start the task. Raises what redis-py raises."""
        await self._connect()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Run the operations that have gathered, then disconnect. Later calls of `run` raise StoreUnavailable."""
        self._closed = True
        self._wanted.set()
        if self._task is not None:
            await self._task
        await self._link.disconnect()

    def run(
        self, script: str, *arguments: Argument, topics: Topics | None = None, audit: str | None = None
    ) -> asyncio.Future[Any]:
        """Run a script with these arguments. The returned future gets the reply or the error.

        `topics` returns the topics of the hints to send for a reply. `audit` is the record, as JSON, that the script
        adds to the audit log if it changes something. Raises StoreUnavailable while the pipeline is closed.
        """
        if self._closed or self._task is None:
            raise StoreUnavailable("The store is closed.")
        if audit is not None:
            arguments = (*arguments, audit)
        packed = pack_arguments(arguments)  # raises here, so that it fails no other operation
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._gathering.append(
            Operation(self._scripts[script], len(arguments), packed, topics, future, audit is not None)
        )
        self._wanted.set()
        return future

    async def _work(self) -> None:
        while not self._closed or self._gathering or self.has_hints():
            await self._wanted.wait()
            self._wanted.clear()
            while self._gathering or self.has_hints():
                batch, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
                try:
                    await self._run(batch)
                except Exception as error:  # noqa: BLE001  the callers get it; the task goes on
                    await self._link.disconnect()
                    for operation in batch:
                        _resolve(operation.future, StoreError(f"Redis: {error}"))
                await asyncio.sleep(0)  # let the callers hand over their next operations

    def has_hints(self) -> bool:
        """Return whether there are hints to send."""
        return False

    def prologue(self) -> list[bytes]:
        """Return the commands to send before the operations. Their replies are ignored."""
        return []

    def calls(self, batch: list[Operation]) -> list[list[Operation]]:
        """Divide operations into calls, in order."""
        return [[operation] for operation in batch]

    def pack_calls(self, calls: list[list[Operation]]) -> list[bytes]:
        """Return a command for each call."""
        return [self.pack_call(each.script, each.argument_count, each.arguments) for (each,) in calls]

    def pack_call(self, script: Script, count: int, packed: bytes, *before: Argument) -> bytes:
        """Return the command that calls a script with the arguments `before` and `count` packed arguments."""
        head = ("EVALSHA", script.sha, len(self._keys), *self._keys, *before)
        return packed_command(len(head) + count, pack_arguments(head), packed)

    def replies(self, reply: Any) -> Sequence[Any]:
        """Return the reply of each operation of a call."""
        return (reply,)

    def answered(self, answered: Iterable[tuple[Operation, Any]]) -> None:
        """Handle the operations that succeeded and their replies, before the callers get the replies."""

    def unanswered(self, error: StoreUnavailable) -> AgentQueueError:
        """Return the error for operations that were sent and got no reply."""
        return error

    async def _run(self, batch: list[Operation]) -> None:
        prologue, calls = self.prologue(), self.calls(batch)
        commands = self.pack_calls(calls)
        replies = (await self._exchange(prologue + commands))[len(prologue) :]
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            await self._link.disconnect()  # connecting loads the scripts
            again = await self._exchange([commands[place] for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        each: list[Any] = []
        for call, reply in zip(calls, replies, strict=True):
            each += [reply] * len(call) if isinstance(reply, Exception) else self.replies(reply)
        if any(map(is_of_replica, each)):
            await self._link.disconnect()  # the host name may lead to a new primary by now
        results = [mapped(reply) if isinstance(reply, RedisError) else reply for reply in each]
        answers = list(zip(batch, results, strict=True))
        self.answered((operation, reply) for operation, reply in answers if not isinstance(reply, AgentQueueError))
        for operation, reply in answers:
            _resolve(operation.future, reply)

    async def _exchange(self, commands: list[bytes]) -> list[Any]:
        """Send commands. Return a reply or an error for each."""
        replies: list[Any] = []
        deadline: float | None = None
        while True:
            try:
                await self._link.check()
                await self._connect_until(deadline)
            except StoreUnavailable as error:
                failure = error if deadline is None else self.unanswered(error)
                return replies + [failure] * (len(commands) - len(replies))
            try:
                await self._link.send(commands[len(replies) :])
                while len(replies) < len(commands):
                    replies.append(await self._link.receive())
                return replies
            except CUT as error:
                await self._link.disconnect()
                if deadline is not None:
                    return replies + [self.unanswered(unavailable(error))] * (len(commands) - len(replies))
                deadline = asyncio.get_running_loop().time() + self.settle_seconds

    async def _connect_until(self, deadline: float | None) -> None:
        """Connect unless connected. Try once, or until the deadline. Raises StoreUnavailable."""
        while not self._link.connected:
            try:
                await self._connect()
            except (RedisError, OSError) as error:
                await self._link.disconnect()
                if deadline is None or self._closed or asyncio.get_running_loop().time() > deadline:
                    known = mapped(error)
                    raise known if isinstance(known, StoreUnavailable) else unavailable(error) from error
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)

    async def _connect(self) -> None:
        """Connect and load the scripts that the server lacks. It forgets all when it restarts."""
        await self._link.connect()
        known = await self._link.ask("SCRIPT", "EXISTS", *(script.sha for script in self._scripts.values()))
        missing = [script for script, is_known in zip(self._scripts.values(), known, strict=True) if not is_known]
        await self._link.send([pack("SCRIPT", "LOAD", script.text) for script in missing])
        for _ in missing:
            answer = await self._link.receive()
            if isinstance(answer, ResponseError):
                raise answer


def _resolve(future: asyncio.Future[Any], reply: Any) -> None:
    """Set a result or an exception, unless the caller has left."""
    if future.done():
        return
    if isinstance(reply, AgentQueueError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


class WritePipeline(CommandPipeline):
    """A pipeline that does each operation once. Hints of a batch are sent with the next batch."""

    settle_seconds = 5.0

    def __init__(
        self,
        link: Link,
        scripts: Mapping[str, Script],
        prefix: str,
        *,
        process: str,
        channel: str,
        publish: Callable[..., None],
    ) -> None:
        super().__init__(link, scripts, prefix)
        self._keys = (prefix, f"{prefix}:process:{process}")
        self._process = process
        self._channel = channel
        self._publish = publish
        self._turn = 0
        self._touched: set[str] = set()

    @override
    def has_hints(self) -> bool:
        return bool(self._touched)

    @override
    def prologue(self) -> list[bytes]:
        if not self._touched:
            return []
        topics, self._touched = sorted(self._touched), set()
        return [pack("PUBLISH", self._channel, json.dumps([self._process, *topics]))]

    @override
    def calls(self, batch: list[Operation]) -> list[list[Operation]]:
        self._turn += 1
        found: list[list[Operation]] = []
        for _, each in groupby(batch, key=_script_of):
            call: list[Operation] = []
            size = count = 0
            for operation in each:
                size += len(operation.arguments)
                count += operation.argument_count
                if call and (len(call) == MAX_CALL or size > MAX_CALL_BYTES or count > MAX_CALL_ARGUMENTS):
                    found.append(call)
                    call, size, count = [], len(operation.arguments), operation.argument_count
                call.append(operation)
            found.append(call)
        return found

    @override
    def pack_calls(self, calls: list[list[Operation]]) -> list[bytes]:
        # `lua/shared/once.lua` recognizes a repeated call by its turn and its place in the turn.
        commands = []
        for place, call in enumerate(calls):
            count = sum(each.argument_count + 1 for each in call)
            packed = b"".join(
                part
                for each in call
                for part in (
                    pack_arguments((1 - each.argument_count if each.is_recorded else each.argument_count,)),
                    each.arguments,
                )
            )
            commands.append(self.pack_call(call[0].script, count, packed, self._turn, place))
        return commands

    @override
    def replies(self, reply: Any) -> Sequence[Any]:
        replies: list[Any] = reply
        return replies

    @override
    def unanswered(self, error: StoreUnavailable) -> AgentQueueError:
        return CommitUnknown(str(error))

    @override
    def answered(self, answered: Iterable[tuple[Operation, Any]]) -> None:
        # Subscribers of this process get the hints at once.
        topics = {topic for each, reply in answered if each.topics is not None for topic in each.topics(reply)}
        self._touched |= topics
        self._publish(*topics)


def _script_of(operation: Operation) -> str:
    return operation.script.sha
