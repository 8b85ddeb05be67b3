"""Holds replies until a run has ended, and makes its result."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from typing_extensions import override

from ...access.principals import Principal
from ...api.errors import ServerStopping
from ...api.streaming import EventStreamResponse
from ...errors import AgentUnavailable, MessageNotFound, NotCancellable, NotFound
from ...errors.threads import AgentCodeFailed, AgentWithoutState
from ...events.fanout import Idle, StoredEvents
from ...events.tail import ReaderKind, Reset
from ...models.audit import Actor
from ...models.events import TERMINAL_EVENTS, EventType
from ...models.messages import Message, MessageState
from ...services import Services
from .run_streams import GRACE_SECONDS
from .runs import Run

ENDS = TERMINAL_EVENTS | {EventType.INTERRUPTED}
"""The events that end a run."""

KEEP_ALIVE = b"\n"
"""Sent while the reply is held. Readers of JSON skip it."""


class HeldReply(EventStreamResponse):
    """Sends JSON when a run has ended. The status is sent at once, so errors of the run are told in the JSON."""

    media_type = "application/json"

    def __init__(self, services: Services, caller: Principal, run: Run, *, with_result: bool = True) -> None:
        self._services = services
        self._caller = caller
        self._run = run
        self._with_result = with_result
        self._cancels_as: Actor | None = None
        super().__init__(self._body(), services, {"Content-Location": run.path, "Location": f"{run.path}/join"})

    @override
    def opening(self) -> bytes:
        return b""

    def cancelling(self, by: Actor) -> "HeldReply":
        """Have the run cancelled if the client leaves before its end and nobody else reads it soon after."""
        self._cancels_as = by
        return self

    async def _body(self) -> AsyncGenerator[bytes]:
        """Yield line ends until the run has ended, then its result. Raises ServerStopping."""
        try:
            async with aclosing(self._ends()) as ends:
                async for ended in ends:
                    if ended is None:
                        yield KEEP_ALIVE
                        continue
                    result = await result_of(self._services, self._caller, self._run, ended)
                    yield json.dumps(result if self._with_result else {}).encode()
                    return
        except (GeneratorExit, asyncio.CancelledError):
            await self._cancel_if_left()
            raise
        raise ServerStopping  # without a last part of the body, so that the client comes back to `join`

    async def _ends(self) -> AsyncGenerator[dict[str, Any] | None]:
        """Yield None at each keep-alive interval, then the data of the event that ended the run."""
        run, services = self._run, self._services
        tail = services.streams.tail(
            self._caller.tenant,
            run.message.id,
            after=max(0, run.first_event - 1),
            idle_seconds=services.settings.keepalive_seconds,
            with_waiting=False,
            kind=ReaderKind.WAIT,
        )
        async with aclosing(tail) as items:
            async for item in items:
                match item:
                    case Idle():
                        yield None
                    case Reset():
                        continue  # the events from here on follow, or the log has ended
                    case StoredEvents(events=events):
                        for event in events:
                            if event.type in ENDS and event.id >= run.first_event:
                                yield json.loads(event.data)
                                return
        message = await services.queue.get(self._caller, run.message.id)
        if message.completed_at is not None:  # its log is no longer kept
            yield _data_of(message)

    async def _cancel_if_left(self) -> None:
        if self._cancels_as is None:
            return
        await asyncio.sleep(GRACE_SECONDS)
        if not self._services.streams.readers_of(self._caller.tenant, self._run.message.id):
            with suppress(MessageNotFound, NotCancellable):
                await self._services.queue.cancel(self._caller, self._run.message.id, running=True, by=self._cancels_as)


def _data_of(message: Message) -> dict[str, Any]:
    """Return the data of the event with which a message ended, as far as results need it."""
    failed = message.state is MessageState.FAILED
    return {"error": message.error, "code": message.error_code} if failed else {}


async def result_of(services: Services, caller: Principal, run: Run, ended: dict[str, Any]) -> Any:
    """Return the values after a run with its questions, or its error. `ended` is the data of the run's last event."""
    if ended.get("error") is not None:
        return {"__error__": {"error": ended["code"], "message": ended["error"]}}
    try:
        values = json.loads((await services.threads.read_state_after(caller, run.message.id)).text)["values"]
    except AgentWithoutState:
        message = await services.queue.get(caller, run.message.id)
        return message.result if message.output is None else json.loads(message.output)
    except (AgentUnavailable, AgentCodeFailed, NotFound) as error:  # the status is sent already
        return {"__error__": {"error": error.code, "message": str(error)}}
    return {**values, "__interrupt__": ended["interrupts"]} if "interrupts" in ended else values
