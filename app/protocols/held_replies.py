"""Holds replies until a run has ended."""

import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from typing_extensions import override

from ..access.principals import Principal
from ..api.errors import ServerStopping
from ..api.limit_headers import limit_headers
from ..api.streaming import EventStreamResponse
from ..errors import AgentQueueError, MessageNotFound
from ..events.fanout import Idle, StoredEvents
from ..events.tail import ReaderKind, Reset
from ..models.audit import Actor
from ..models.messages import Message, MessageState
from ..services import Services
from .cut_runs import RunDeleted
from .departures import Departure
from .runs import ENDS, Run

KEEP_ALIVE = b"\n"
"""Sent while the reply is held. Readers of JSON skip it."""


class HeldReply(EventStreamResponse):
    """Sends JSON when a run has ended. The status is sent at once, so errors of the run are told in the JSON.

    `result_of` returns the JSON as a text. It is given the data of the event that ended the run. With `cancels_as`, the
    run is cancelled in this name if the client leaves before its end and nobody else reads it soon after.
    """

    media_type = "application/json"
    ends_after_errors = False  # half a JSON text would look whole

    def __init__(
        self,
        services: Services,
        caller: Principal,
        run: Run,
        result_of: Callable[[dict[str, Any]], Awaitable[str]],
        *,
        headers: Mapping[str, str] | None = None,
        cancels_as: Actor | None = None,
    ) -> None:
        self._services = services
        self._caller = caller
        self._run = run
        self._result_of = result_of
        leaves = None if cancels_as is None else Departure(services, caller, run, cancels_as=cancels_as).cancel
        given = {**limit_headers(run.counted), **(headers or {})}
        super().__init__(self._body(), services, given, when_left=leaves)

    @override
    def opening(self) -> bytes:
        return b""

    @abstractmethod
    def failure(self, error: AgentQueueError) -> bytes:
        """Return what is sent in place of the result."""

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return what is sent if this process cannot wait for the end of the run.

        By default, raise the error: the body then has no end, so that the client comes back.
        """
        raise error

    async def _body(self) -> AsyncGenerator[bytes]:
        """Yield line ends until the run has ended, then its result. Raises what `cut_off` raises."""
        try:
            async with aclosing(self._ends()) as ends:
                async for ended in ends:
                    if ended is not None:
                        yield (await self._result_of(ended)).encode()
                        return
                    yield KEEP_ALIVE
            raise ServerStopping
        except MessageNotFound:
            yield self.failure(RunDeleted())
        except AgentQueueError as error:
            yield self.cut_off(error)

    async def _ends(self) -> AsyncGenerator[dict[str, Any] | None]:
        """Yield None at each keep-alive interval, then the data of the event that ended the run."""
        run, services = self._run, self._services
        tail = services.streams.tail(
            self._caller.tenant,
            run.message.id,
            after=run.seen_before,
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


def _data_of(message: Message) -> dict[str, Any]:
    """Return the data of the event with which a message ended, as far as results need it."""
    failed = message.state is MessageState.FAILED
    return {"error": message.error, "code": message.error_code} if failed else {}
