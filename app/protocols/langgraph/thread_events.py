"""The endpoint that streams the events of a thread, over all of its runs, in LangGraph's agent protocol."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import Query, Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.streaming import KEEP_ALIVE, EventStreamResponse, tail_of
from ...errors import MessageNotFound, ThreadNotFound
from ...errors.events import EventsLost
from ...events.fanout import Idle, StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...models.events import Event, EventType
from ...models.messages import Message
from ...services import Services
from ..run_streams import PART_EVENTS, position_comment, stored_events, thread_changes
from ..runs import Run, runs_of
from .errors import not_served
from .routing import make_router
from .schemas.agent_protocol import EventStreamRequest
from .thread_projection import MessageProgress, MessageView, Place, Subscription, thread_frames

router = make_router()

PAGE_MESSAGES = 20

_BEGINNING = Place()


@router.post("/threads/{thread_id}/stream/events")
@needs(AccessScope.READ)
async def stream_events(
    request: Request, services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep
) -> Response:
    """Stream what the runs of a thread show. The thread may be made later."""
    body = await body_of(request, EventStreamRequest)
    namespaces = None if body.namespaces is None else tuple(tuple(each) for each in body.namespaces)
    wanted = Subscription(frozenset(body.channels), namespaces, body.depth)
    after = _BEGINNING if body.since is None else Place.of(body.since)
    await services.stream_limits.check(principal)
    stream = ThreadStream(services, principal, thread_id, wanted)
    return EventStreamResponse(stream.frames(after), services, counted=False)


@router.get("/threads/{thread_id}/stream")
@needs(AccessScope.READ)
async def join_stream(stream_mode: Annotated[list[str] | None, Query()] = None) -> Response:
    """Refuse the stream of a thread in the modes of its runs."""
    modes = ", ".join(stream_mode or ["run_modes"])
    told = (
        "POST /threads/{thread_id}/stream/events follows a thread, GET /threads/{thread_id}/runs/{run_id}/stream a run."
    )
    raise not_served(f"threads/stream: this server does not join a thread in the modes {modes}. {told}")


class ThreadStream:
    """Follows the messages of a thread for one reader: one after the other, as they run."""

    def __init__(self, services: Services, caller: Principal, thread_id: str, wanted: Subscription) -> None:
        self._services = services
        self._caller = caller
        self._thread_id = thread_id
        self._wanted = wanted

    async def frames(self, after: Place) -> AsyncGenerator[TailItem | bytes]:
        """Yield the frames behind a place, and keep-alives, until this process closes or the thread is deleted.

        A place that the thread does not have is of an earlier thread with the same id: all frames follow.
        """
        number, existed = max(0, after.message - 1), False
        async with aclosing(await thread_changes(self._services, self._caller, self._thread_id)) as changes:
            while not self._services.changes.is_closing:
                try:
                    messages = await self._services.threads.list_messages(
                        self._caller, self._thread_id, after=number, limit=PAGE_MESSAGES
                    )
                except ThreadNotFound:
                    if existed:
                        return
                    messages = []
                else:
                    is_first, existed = not existed, True
                    if is_first and number and not messages:
                        number, after = 0, _BEGINNING
                        continue
                for message in messages:
                    async with aclosing(self._frames_of(message, after)) as frames:
                        async for frame in frames:
                            yield frame
                    number = message.thread_number
                if not messages:
                    while isinstance(await anext(changes, None), Idle):
                        yield KEEP_ALIVE

    async def _frames_of(self, message: Message, after: Place) -> AsyncGenerator[TailItem | bytes]:
        """Yield the frames of a message behind a place until it has ended or was deleted."""
        view = MessageView(message.id, message.thread_number, message.agent, self._wanted)
        after = after if after.message == message.thread_number else _BEGINNING
        progress, seen = MessageProgress(), 0
        with suppress(MessageNotFound):
            try:
                async for events in self._stored(message, after.event - 1):
                    _, progress = thread_frames(view, progress, events, _end_of(view))
                    seen = events[-1].id
                    if _has_answer(events):
                        view = await self._with_answers(view, message)
            except EventsLost:
                after = _BEGINNING
            async with aclosing(tail_of(self._services, self._caller.tenant, message.id, seen)) as items:
                async for item in items:
                    match item:
                        case StoredEvents():
                            if item.view(_has_answer, _has_answer):
                                view = await self._with_answers(view, message)
                            for at, part in enumerate(item.parts(PART_EVENTS)):
                                if at:
                                    await asyncio.sleep(0)
                                body, progress = self._shown(view, progress, part, after)
                                if body:
                                    yield body
                        case WaitingUpdate():
                            yield position_comment(item)
                        case Idle():
                            yield KEEP_ALIVE

    async def _with_answers(self, view: MessageView, message: Message) -> MessageView:
        """Return the view with the runs of all answers so far."""
        runs = await runs_of(self._services, message)
        return view._replace(answers=tuple((run.first_event, run.id) for run in runs if run.first_event))

    def _stored(self, message: Message, last: int) -> AsyncIterator[Sequence[Event]]:
        """Yield the stored events of a message up to `last`. Raises EventsLost if it has fewer."""
        return stored_events(self._services, self._caller, Run(message.id, message), 0, last)

    def _shown(
        self, view: MessageView, progress: MessageProgress, stored: StoredEvents, after: Place
    ) -> tuple[bytes, MessageProgress]:
        """Return the frames of the next events. Readers who want to see the same share them."""
        if stored.events[0].id > after.event:
            return stored.view(view, lambda events: thread_frames(view, progress, events, _BEGINNING))
        return thread_frames(view, progress, stored.events, after._replace(message=view.number))


def _end_of(view: MessageView) -> Place:
    """Return the last place of a message: no frame is behind it."""
    return Place(view.number + 1)


def _has_answer(events: Sequence[Event]) -> bool:
    """Return whether one of the events is an answer to a question."""
    return any(event.type is EventType.RESUMED for event in events)
