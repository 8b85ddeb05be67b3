"""Pipelines: the calls of one turn of the event loop are sent together, one pipeline after the other.

While one pipeline is under way the next one gathers; there is no timer, so a lone caller waits for nobody. Each
operation is atomic by itself, also those of one writing script that follow each other: they are one call, because
half of what such a script takes is its beginning. A task of the lane's own talks to the server, so that a caller who is
cancelled leaves no unread answer to somebody else.

When the connection breaks before all answers came, what is unanswered may have been done or not. It is sent once more,
as it was, on a new connection; `lua/shared/once.lua` answers what was done already without doing it again.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError, ResponseError

from ...errors import AgentQueueError, CommitUnknown, StoreError, StoreUnavailable
from ...observability.outages import hints_outage
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

logger = logging.getLogger(__name__)

MAX_BATCH = 256
MAX_CALL = 64
"""So many operations are one call: beyond that it only keeps the server from others for longer."""
MAX_CALL_BYTES = 256 * 1024
"""Arguments of one call, unless those of a single operation are longer."""
MAX_CALL_ARGUMENTS = 1_536
"""Likewise their number: more than MAX_CALL messages have that are added one by one, and few for long lists of ids."""

CONNECT_AGAIN_SECONDS = 0.05
LISTEN_AGAIN_SECONDS = 1.0
PING_SECONDS = 15.0

Argument = str | int
Topics = Callable[[Any], Iterable[str]]


class Operation(NamedTuple):
    """One caller's script with its packed arguments. `topics` tells from the reply what to hint at."""

    script: Script
    argument_count: int
    arguments: bytes
    topics: Topics | None
    future: asyncio.Future[Any]


class CommandPipeline:
    """One connection and the task that owns it. Opened and used from one event loop."""

    settle_seconds = 0.0
    """So long a new connection is tried for when what was sent on the old one may have been done."""

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
        """Run what was handed over, then disconnect. Later calls of `run` raise StoreUnavailable."""
        self._closed = True
        self._wanted.set()
        if self._task is not None:
            await self._task
        await self._link.disconnect()

    def run(self, script: str, *arguments: Argument, topics: Topics | None = None) -> asyncio.Future[Any]:
        """Have a script run; the future gets its reply or its error."""
        if self._closed or self._task is None:
            raise StoreUnavailable("The store is closed.")
        packed = pack_arguments(arguments)  # what cannot be sent is refused here, where it disturbs nobody else
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._gathering.append(Operation(self._scripts[script], len(arguments), packed, topics, future))
        self._wanted.set()
        return future

    async def _work(self) -> None:
        while not self._closed or self._gathering or self.has_news():
            await self._wanted.wait()
            self._wanted.clear()
            while self._gathering or self.has_news():
                batch, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
                try:
                    await self._run(batch)
                except Exception as error:  # noqa: BLE001  told to the callers; the lane goes on
                    await self._link.disconnect()
                    for operation in batch:
                        _tell(operation.future, StoreError(f"Redis: {error}"))
                await asyncio.sleep(0)  # whoever was answered may hand over the next one

    def has_news(self) -> bool:
        """Whether there is something to be sent besides operations."""
        return False

    def prologue(self) -> list[bytes]:
        """What is sent before the operations; nobody waits for its answers."""
        return []

    def calls(self, batch: list[Operation]) -> list[list[Operation]]:
        """The operations of each call, in order."""
        return [[operation] for operation in batch]

    def pack_calls(self, calls: list[list[Operation]]) -> list[bytes]:
        """A command for each call."""
        return [self.pack_call(each.script, each.argument_count, each.arguments) for (each,) in calls]

    def pack_call(self, script: Script, count: int, packed: bytes, *before: Argument) -> bytes:
        """The command that calls a script with these arguments, and with so many packed ones."""
        head = ("EVALSHA", script.sha, len(self._keys), *self._keys, *before)
        return packed_command(len(head) + count, pack_arguments(head), packed)

    def replies(self, reply: Any) -> Sequence[Any]:
        """The reply of each operation of a call, from that of the call."""
        return (reply,)

    def answered(self, answered: Iterable[tuple[Operation, Any]]) -> None:
        """Replies came; who waits for them does not have them yet."""

    def unanswered(self, error: StoreUnavailable) -> AgentQueueError:
        """What callers are told whose operations were sent and never answered."""
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
            await self._link.disconnect()  # the name may lead to a new primary by now
        told = [mapped(reply) if isinstance(reply, RedisError) else reply for reply in each]
        answers = list(zip(batch, told, strict=True))
        self.answered((operation, reply) for operation, reply in answers if not isinstance(reply, AgentQueueError))
        for operation, reply in answers:
            _tell(operation.future, reply)

    async def _exchange(self, commands: list[bytes]) -> list[Any]:
        """Replies and errors, one for each command."""
        replies: list[Any] = []
        deadline: float | None = None
        while True:
            try:
                await self._link.check()
                await self._connect_until(deadline)
            except StoreUnavailable as error:
                told = error if deadline is None else self.unanswered(error)
                return replies + [told] * (len(commands) - len(replies))
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
        """A connection; tried for once, or until the deadline. Raises StoreUnavailable."""
        while not self._link.connected:
            try:
                await self._connect()
            except (RedisError, OSError) as error:
                await self._link.disconnect()
                if deadline is None or self._closed or asyncio.get_running_loop().time() > deadline:
                    told = mapped(error)
                    raise told if isinstance(told, StoreUnavailable) else unavailable(error) from error
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)

    async def _connect(self) -> None:
        """Connect and make the server know all scripts, which it forgets when it restarts."""
        await self._link.connect()
        await self._link.send([pack("SCRIPT", "LOAD", script.text) for script in self._scripts.values()])
        for _ in self._scripts:
            answer = await self._link.receive()
            if isinstance(answer, ResponseError):
                raise answer


def _tell(future: asyncio.Future[Any], reply: Any) -> None:
    """Unless the caller has left."""
    if future.done():
        return
    if isinstance(reply, AgentQueueError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


class WritePipeline(CommandPipeline):
    """A lane whose operations are done once; after each batch other processes are told what it touched."""

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

    def has_news(self) -> bool:
        """See `CommandPipeline.has_news`."""
        return bool(self._touched)

    def prologue(self) -> list[bytes]:
        """See `CommandPipeline.prologue`: hints of the batch before."""
        if not self._touched:
            return []
        topics, self._touched = sorted(self._touched), set()
        return [pack("PUBLISH", self._channel, json.dumps([self._process, *topics]))]

    def calls(self, batch: list[Operation]) -> list[list[Operation]]:
        """Return neighbouring operations of one script together, as `lua/shared/once.lua` takes them."""
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

    def pack_calls(self, calls: list[list[Operation]]) -> list[bytes]:
        """See `CommandPipeline.pack_calls`: with the names by which `lua/shared/once.lua` knows them again."""
        commands = []
        for place, call in enumerate(calls):
            count = sum(each.argument_count + 1 for each in call)
            packed = b"".join(
                part for each in call for part in (pack_arguments((each.argument_count,)), each.arguments)
            )
            commands.append(self.pack_call(call[0].script, count, packed, self._turn, place))
        return commands

    def replies(self, reply: Any) -> Sequence[Any]:
        """See `CommandPipeline.replies`."""
        replies: list[Any] = reply
        return replies

    def unanswered(self, error: StoreUnavailable) -> AgentQueueError:
        """See `CommandPipeline.unanswered`."""
        return CommitUnknown(str(error))

    def answered(self, answered: Iterable[tuple[Operation, Any]]) -> None:
        """See `CommandPipeline.answered`: own subscribers are told at once."""
        topics = {topic for each, reply in answered if each.topics is not None for topic in each.topics(reply)}
        self._touched |= topics
        self._publish(*topics)


def _script_of(operation: Operation) -> str:
    return operation.script.sha


class Listener:
    """Passes on the hints of other processes, whatever happens to its connection."""

    def __init__(self, link: Link, channel: str, process: str, publish: Callable[..., None]) -> None:
        self._link = link
        self._channel = channel
        self._process = process
        self._publish = publish
        self._outage = hints_outage()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Subscribe, then listen. Raises what redis-py raises."""
        await self._subscribe()
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """End the task and the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._link.disconnect()

    async def _subscribe(self) -> None:
        await self._link.connect()
        await self._link.ask("SUBSCRIBE", self._channel)

    async def _listen(self) -> None:
        while True:
            try:
                if not self._link.connected:
                    await self._subscribe()
                self._outage.works("listen")
                await self._pass_on()
            except Exception as error:  # noqa: BLE001  hints are not worth more than a line in the log
                self._outage.fails("listen", "Listening for hints failed, trying again: %s", error)
                await self._link.disconnect()
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _pass_on(self) -> None:
        """Ends with an exception only; a connection that died in silence is found out by a ping."""
        pinged = False
        while True:
            answer = await self._link.receive(within=PING_SECONDS)
            if answer is None:
                if pinged:
                    raise StoreUnavailable(f"no answer for {PING_SECONDS} seconds")
                await self._link.send([pack("PING")])
            elif answer[0] == "message":
                process, *topics = json.loads(answer[2])
                if process != self._process:
                    self._publish(*topics)
            pinged = answer is None
