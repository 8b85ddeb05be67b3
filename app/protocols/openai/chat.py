"""Endpoints of chat completions. The given messages are the whole conversation, and nothing of it is remembered."""

from collections.abc import AsyncGenerator

from fastapi import Request, Response
from typing_extensions import override

from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, body_of
from ...api.limit_headers import limit_headers
from ...api.request_keys import submit_key
from ...api.streaming import EventStreamResponse
from ...errors import AgentQueueError
from ...events.fanout import StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...services import Services
from ..agents import visible_agent
from ..departures import Departure
from ..priorities import PriorityDep
from ..routing import KeyNameDep
from ..run_streams import followed, position_comment
from ..runs import Run
from ..turns import first_run, submit_turns
from .chat_projection import ChatView, Progress, frames_of, opening
from .chat_replies import CompletionReply
from .errors import AccessEnded, failure_frame, object_of
from .ids import completion_id_of
from .new_messages import new_message
from .routing import make_router
from .schemas.chat import ChatCreate
from .schemas.fields import priority_of

router = make_router()


@router.post("/chat/completions")
@needs(AccessScope.SUBMIT)
async def create(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    priority: PriorityDep = None,
) -> Response:
    """Answer a conversation, in one reply or as a stream. The run is cancelled when the client has left."""
    body = await body_of(request, ChatCreate)
    if body.stream:
        await services.stream_limits.check(principal)
    new = new_message(
        visible_agent(services, principal, body.model),
        body.given,
        priority=priority_of(priority, body.service_tier),
        metadata=body.metadata,
        notes={},
    )
    named = None if key is None else submit_key(key, new, services.registry.default)
    run = await first_run(services, principal, await submit_turns(services, principal, [new], key=named, by=by))
    created = int(run.created_at.timestamp())
    view = ChatView(completion_id_of(run), run.message.agent, created, body.includes_usage)
    if not body.stream:
        return CompletionReply(services, principal, run, view, cancels_as=by)
    frames = followed(services, principal, run, ChatReader(view), after=0)
    return CompletionStream(view, frames, services, run, Departure(services, principal, run, cancels_as=by))


class CompletionStream(EventStreamResponse):
    """The stream of a completion."""

    def __init__(
        self,
        view: ChatView,
        frames: AsyncGenerator[TailItem | bytes],
        services: Services,
        run: Run,
        departure: Departure,
    ) -> None:
        super().__init__(frames, services, limit_headers(run.counted), when_left=departure.cancel)
        self._view = view

    @override
    def opening(self) -> bytes:
        return super().opening() + opening(self._view)

    @override
    def refusal(self) -> bytes:
        return b"\n\n" + failure_frame(object_of(AccessEnded()))  # the last frame may have been cut off


class ChatReader:
    """A reader of the chunks of a completion."""

    def __init__(self, view: ChatView) -> None:
        self._view = view
        self._progress = Progress()

    def has_ended(self) -> bool:
        """Return whether the run has ended."""
        return self._progress.ended

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the chunks that the next events give. A completion has one reader, so nobody shares them."""
        body, self._progress = frames_of(self._view, self._progress, stored.events)
        return body

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return a comment that tells the position in the queue."""
        return position_comment(update)

    def can_skip(self) -> bool:
        """Return whether nothing was said, so that the last event can say all."""
        return not self._progress.said and not self._progress.before

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return the error. Without an end, a client would take half an answer for a whole one."""
        return failure_frame(object_of(error))
