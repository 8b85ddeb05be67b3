"""Endpoints that stream runs."""

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from pydantic import BeforeValidator

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...models.audit import Actor
from ...services import Services
from .kept import Kept
from .modes import StreamMode
from .projection import RunView
from .routing import RunIdDep, make_router
from .run_creation import create_run
from .run_streams import RunStream
from .runs import Run, find_run
from .schemas.runs import RunCreate

router = make_router()


def _given(modes: Any) -> Any:
    """Return the modes without empty ones, which the Python SDK sends if it is given none."""
    return [mode for mode in modes if mode] if isinstance(modes, list) else modes


ModesDep = Annotated[list[StreamMode] | None, BeforeValidator(_given), Query()]


@router.post("/threads/{thread_id}/runs/stream")
@needs(AccessScope.SUBMIT)
async def create_and_stream(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Store a run of a thread and stream it."""
    return await _created(request, services, principal, by, thread_id)


@router.post("/runs/stream")
@needs(AccessScope.SUBMIT)
async def create_private_and_stream(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Store a run without a thread and stream it."""
    return await _created(request, services, principal, by, None)


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
@needs(AccessScope.READ)
async def join_stream(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    run_id: RunIdDep,
    stream_mode: ModesDep = None,
    stream_subgraphs: bool | None = None,
    cancel_on_disconnect: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream a run from its beginning, or behind `Last-Event-ID`, by default in the form that its creator asked for."""
    run = await find_run(services, principal, thread_id, run_id)
    kept = Kept.of(run.message)
    subgraphs = kept.stream_subgraphs if stream_subgraphs is None else stream_subgraphs
    stream = _stream_of(services, principal, run, stream_mode or kept.stream_mode, subgraphs=subgraphs)
    return await stream.response(last_event_id, cancel_on_leave=cancel_on_disconnect)


async def _created(
    request: Request, services: Services, caller: Principal, by: Actor, thread_id: str | None
) -> Response:
    body = await body_of(request, RunCreate)
    run = await create_run(services, caller, thread_id, body, by=by)
    stream = _stream_of(services, caller, run, body.modes, subgraphs=bool(body.stream_subgraphs))
    return await stream.response(None, cancel_on_leave=body.on_disconnect == "cancel")


def _stream_of(
    services: Services, caller: Principal, run: Run, modes: Collection[StreamMode], *, subgraphs: bool
) -> RunStream:
    view = RunView(run.id, run.thread_id, run.message.agent, run.assistant_id, frozenset(modes), subgraphs)
    return RunStream(services, caller, run, view)
