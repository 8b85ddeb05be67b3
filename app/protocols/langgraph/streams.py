"""Endpoints that stream runs."""

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Header, Query, Response
from pydantic import BeforeValidator

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...access.visible import check_streamed
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep
from ...errors import Forbidden
from ...models.audit import Actor
from ...services import Services
from ..routing import KeyNameDep
from ..runs import Run
from .ids import assistant_id_of
from .kept import Kept
from .modes import StreamMode, shown_events
from .projection import RunView
from .routing import RunIdDep, make_router
from .run_bodies import RunInBodyDep
from .run_creation import create_run
from .run_lookup import find_run
from .run_streams import RunStream
from .schemas.runs import RunCreate

router = make_router()

NO_CANCEL = "cancel_on_disconnect: cancels need the scope `control`, which the caller does not have. Leave it out."


def _given(modes: Any) -> Any:
    """Return the modes one by one. The Python SDK sends an empty one for none, the JavaScript SDK a JSON list."""
    found: list[Any] = []
    for text in modes if isinstance(modes, list) else []:
        if text.startswith("["):
            with suppress(ValueError):
                found += json.loads(text)
                continue
        found.append(text)
    return list(dict.fromkeys(mode for mode in map(str, found) if mode))


ModesDep = Annotated[list[StreamMode] | None, BeforeValidator(_given), Query()]


@router.post("/threads/{thread_id}/runs/stream")
@needs(AccessScope.SUBMIT)
async def create_and_stream(
    body: RunInBodyDep,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    thread_id: ThreadIdDep,
) -> Response:
    """Store a run of a thread and stream it."""
    return await _created(body, services, principal, by, key, thread_id)


@router.post("/runs/stream")
@needs(AccessScope.SUBMIT)
async def create_private_and_stream(
    body: RunInBodyDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep, key: KeyNameDep
) -> Response:
    """Store a run without a thread and stream it."""
    return await _created(body, services, principal, by, key, None)


class Joined(NamedTuple):
    """How a client wants to see a run that exists. None stands for the form that the run's creator asked for."""

    stream_mode: ModesDep = None
    stream_subgraphs: Annotated[bool | None, Query()] = None
    cancel_on_disconnect: Annotated[bool, Query()] = False
    last_event_id: Annotated[str | None, Header()] = None


JoinedDep = Annotated[Joined, Depends()]


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
@needs(AccessScope.READ)
async def join_stream(
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    thread_id: ThreadIdDep,
    run_id: RunIdDep,
    joined: JoinedDep,
) -> Response:
    """Stream a run from its beginning, or behind `Last-Event-ID`."""
    return await _joined(services, principal, by, await find_run(services, principal, thread_id, run_id), joined)


@router.get("/runs/{run_id}/stream")
@needs(AccessScope.READ)
async def join_private_stream(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, run_id: RunIdDep, joined: JoinedDep
) -> Response:
    """Stream a run without a thread."""
    return await _joined(services, principal, by, await find_run(services, principal, run_id, run_id), joined)


async def _joined(services: Services, caller: Principal, by: Actor, run: Run, joined: Joined) -> Response:
    if joined.cancel_on_disconnect and AccessScope.CONTROL not in caller.scopes:
        raise Forbidden(NO_CANCEL)
    await services.stream_limits.check(caller)
    kept = Kept.of(run.message)
    subgraphs = kept.stream_subgraphs if joined.stream_subgraphs is None else joined.stream_subgraphs
    stream = _stream_of(services, caller, run, joined.stream_mode or kept.stream_mode, subgraphs=subgraphs)
    return await stream.response(joined.last_event_id, cancels_as=by if joined.cancel_on_disconnect else None)


async def _created(
    body: RunCreate, services: Services, caller: Principal, by: Actor, key: str | None, thread_id: str | None
) -> Response:
    check_streamed(caller, thread_id, shown_events(body.modes))
    await services.stream_limits.check(caller)
    run = await create_run(services, caller, thread_id, body, key=key, by=by)
    stream = _stream_of(services, caller, run, body.modes, subgraphs=bool(body.stream_subgraphs))
    return await stream.response(None, cancels_as=by if body.on_disconnect == "cancel" else None)


def _stream_of(
    services: Services, caller: Principal, run: Run, modes: Collection[StreamMode], *, subgraphs: bool
) -> RunStream:
    agent = run.message.agent
    view = RunView(run.id, run.thread_id, agent, assistant_id_of(agent), frozenset(modes), subgraphs)
    return RunStream(services, caller, run, view)
