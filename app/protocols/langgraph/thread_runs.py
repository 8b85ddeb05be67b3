"""Endpoints of the runs of a thread."""

import json
from typing import Annotated

from fastapi import Query, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep
from ...api.limit_headers import limit_headers
from ...api.replies import JsonReply
from ...errors import Forbidden
from ...models.audit import Actor
from ...models.messages import MessageState
from ...models.requests import Selection
from ...services import Services
from ..routing import KeyNameDep
from .errors import not_served
from .routing import RunIdDep, make_router
from .run_bodies import RunInBodyDep
from .run_cancels import CancelAction, cancel_runs
from .run_creation import create_run
from .run_listing import RunStatus, list_runs
from .run_lookup import find_run, path_of
from .run_results import held_reply
from .run_views import run_view
from .schemas.runs import RunCreate

router = make_router()

NO_READ = "The values after a run need the scope `read`, which the caller does not have. Make a run without waiting."
KEPT = (
    "runs/delete: only failed runs can be deleted. Others are deleted with their thread, or after RETENTION_DAYS. "
    "POST /threads/{thread_id}/runs/{run_id}/cancel stops a run."
)


@router.post("/threads/{thread_id}/runs")
@needs(AccessScope.SUBMIT)
async def create(
    body: RunInBodyDep,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    thread_id: ThreadIdDep,
) -> Response:
    """Store a run of a thread and return it."""
    return await create_and_show(services, principal, thread_id, body, key, by)


async def create_and_show(
    services: Services, caller: Principal, thread_id: str | None, body: RunCreate, key: str | None, by: Actor
) -> Response:
    """Store a run and return the reply for it."""
    run = await create_run(services, caller, thread_id, body, key=key, by=by)
    headers = {"Content-Location": path_of(run), **limit_headers(run.counted)}
    return JsonReply(json.dumps(run_view(run)), headers=headers)


@router.post("/threads/{thread_id}/runs/wait")
@needs(AccessScope.SUBMIT)
async def wait(
    body: RunInBodyDep,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    thread_id: ThreadIdDep,
) -> Response:
    """Store a run of a thread, and return the values after it."""
    return await create_and_wait(services, principal, thread_id, body, key, by)


async def create_and_wait(
    services: Services, caller: Principal, thread_id: str | None, body: RunCreate, key: str | None, by: Actor
) -> Response:
    """Store a run and return the reply that has the values after it. Raises Forbidden for callers who may not read."""
    if AccessScope.READ not in caller.scopes:
        raise Forbidden(NO_READ)
    run = await create_run(services, caller, thread_id, body, key=key, by=by)
    return held_reply(services, caller, run, cancels_as=by if body.on_disconnect == "cancel" else None)


@router.get("/threads/{thread_id}/runs")
@needs(AccessScope.READ)
async def list_(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
    select: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """List the runs of a thread, newest first."""
    found = await list_runs(services, principal, thread_id, status, limit=limit, offset=offset)
    views = [run_view(run) for run in found]
    if select:
        views = [{key: value for key, value in view.items() if key in select} for view in views]
    return JsonReply(json.dumps(views))


@router.get("/threads/{thread_id}/runs/{run_id}")
@needs(AccessScope.READ)
async def get(services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, run_id: RunIdDep) -> Response:
    """Return a run."""
    return JsonReply(json.dumps(run_view(await find_run(services, principal, thread_id, run_id))))


@router.get("/threads/{thread_id}/runs/{run_id}/join")
@needs(AccessScope.READ)
async def join(services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, run_id: RunIdDep) -> Response:
    """Return the values after a run when it has ended."""
    return held_reply(services, principal, await find_run(services, principal, thread_id, run_id))


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
@needs(AccessScope.CONTROL)
async def cancel(
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    thread_id: ThreadIdDep,
    run_id: RunIdDep,
    wait: bool = False,
    action: CancelAction = "interrupt",
) -> Response:
    """Cancel a run. With `wait`, hold the reply until it has stopped."""
    run = await find_run(services, principal, thread_id, run_id)
    await cancel_runs(services, principal, [run], action, by=by)
    return held_reply(services, principal, run, with_result=False) if wait else JsonReply("{}")


@router.delete("/threads/{thread_id}/runs/{run_id}")
@needs(AccessScope.CONTROL)
async def delete(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep, run_id: RunIdDep
) -> Response:
    """Delete a failed run. Others are refused."""
    run = await find_run(services, principal, thread_id, run_id)
    if run.is_answered or run.message.state is not MessageState.FAILED:
        raise not_served(KEPT)
    await services.bulk.purge(principal, Selection((run.message.id,)), by)
    return Response(status_code=204)
