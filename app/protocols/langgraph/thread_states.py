"""Endpoints of the states of a thread."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

from fastapi import Query, Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.replies import JsonReply
from ...errors.threads import AgentWithoutState
from ...models.thread_states import StateChange, StateText
from ...services import Services
from .json_lists import json_list
from .routing import make_router
from .schemas.threads import MAX_STATES, HistoryRead, StateRead, StateUpdate
from .states import view_of
from .thread_lookup import find_thread

router = make_router()


@router.get("/threads/{thread_id}/state")
@needs(AccessScope.READ)
async def get_state(
    services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, subgraphs: bool = False
) -> Response:
    """Return the newest state of a thread. A thread without one has an empty state."""
    return await _state(services, principal, thread_id, None, subgraphs)


@router.get("/threads/{thread_id}/state/{checkpoint_id}")
@needs(AccessScope.READ)
async def get_state_at(
    services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, checkpoint_id: str, subgraphs: bool = False
) -> Response:
    """Return the state of a thread at a checkpoint."""
    return await _state(services, principal, thread_id, checkpoint_id, subgraphs)


@router.post("/threads/{thread_id}/state/checkpoint")
@needs(AccessScope.READ)
async def get_state_by_body(
    request: Request, services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep
) -> Response:
    """Return the state of a thread at a checkpoint that the body names."""
    body = await body_of(request, StateRead)
    return await _state(services, principal, thread_id, body.checkpoint, bool(body.subgraphs))


async def _state(
    services: Services, caller: Principal, thread_id: str, checkpoint_id: str | None, subgraphs: bool
) -> Response:
    await find_thread(services, caller, thread_id)
    state = await services.threads.read_state(
        caller, thread_id, agent=None, checkpoint_id=checkpoint_id, subgraphs=subgraphs
    )
    return JsonReply(json.dumps(view_of(state)))


@router.post("/threads/{thread_id}/state")
@needs(AccessScope.CONTROL)
async def update_state(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Change the state of a thread, as if a node had returned the values."""
    body = await body_of(request, StateUpdate)
    await find_thread(services, principal, thread_id)
    change = StateChange(body.values, body.as_node, body.checkpoint_id or body.checkpoint)
    made = (await services.threads.update_state(principal, thread_id, change, agent=None, by=by)).model_dump()
    reply = {"checkpoint": made, "configurable": made, "checkpoint_id": made["checkpoint_id"]}
    return JsonReply(json.dumps(reply))


@router.get("/threads/{thread_id}/history")
@needs(AccessScope.READ)
async def get_history(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    limit: Annotated[int, Query(ge=1, le=MAX_STATES)] = 10,
    before: str | None = None,
) -> Response:
    """List the states of a thread, newest first."""
    return await _history(services, principal, thread_id, before, limit)


@router.post("/threads/{thread_id}/history")
@needs(AccessScope.READ)
async def read_history(
    request: Request, services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep
) -> Response:
    """List the states of a thread, newest first."""
    body = await body_of(request, HistoryRead)
    return await _history(services, principal, thread_id, body.before, body.limit)


async def _history(services: Services, caller: Principal, thread_id: str, before: str | None, limit: int) -> Response:
    """Return states, fewer than `limit` if they are long. A client goes on with `before` the last of them."""
    await find_thread(services, caller, thread_id)
    try:
        states = await services.threads.list_states(caller, thread_id, agent=None, before=before, limit=limit)
    except AgentWithoutState:
        states = []
    return JsonReply(await json_list(_views(states)))


async def _views(states: Iterable[StateText]) -> AsyncIterator[dict[str, Any]]:
    for state in states:
        yield view_of(state)
