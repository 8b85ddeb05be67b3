"""Endpoints that stream runs."""

from typing import Annotated

from fastapi import Header, Query, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import PrincipalDep, ServicesDep
from ...errors import MessageNotFound
from ...models.messages import Alias, Message
from ...services import Services
from .ids import assistant_id_of
from .modes import StreamMode, recorded_modes
from .projection import RunView
from .routing import make_router
from .run_streams import RunStream

router = make_router()

LastEventId = Annotated[str | None, Header(description="The id of the last event that the client has seen.")]


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
@needs(AccessScope.READ)
async def join_run_stream(
    thread_id: str,
    run_id: str,
    services: ServicesDep,
    principal: PrincipalDep,
    stream_mode: Annotated[list[StreamMode] | None, Query()] = None,
    stream_subgraphs: bool = False,
    cancel_on_disconnect: bool = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream a run from its beginning, or behind `Last-Event-ID`, in the modes that are asked for.

    By default the modes are all those that the run was recorded for.
    """
    run, message = await run_of(services, principal, thread_id, run_id)
    modes = frozenset(stream_mode or recorded_modes(message.options.run.events))
    view = RunView(run_id, thread_id, message.agent, assistant_id_of(message.agent), modes, stream_subgraphs)
    stream = RunStream(services, principal, run, view)
    return await stream.response(last_event_id, cancel_on_leave=cancel_on_disconnect)


async def run_of(services: Services, caller: Principal, thread_id: str, run_id: str) -> tuple[Alias, Message]:
    """Return a run of a thread as the part of a message's log, and the message. Raises MessageNotFound."""
    run = await services.queue.find(caller, run_id)
    message = await services.queue.get(caller, run.message_id)
    if message.thread_id != thread_id:
        raise MessageNotFound(run_id)
    return run, message
