"""Endpoints of the runs of a thread."""

import json
from typing import Annotated

from fastapi import Query, Request, Response

from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.replies import JsonReply
from .routing import RunIdDep, make_router
from .run_creation import create_run
from .run_listing import RunStatus, list_runs
from .run_views import run_view
from .runs import Run, find_run
from .schemas.runs import RunCreate

router = make_router()


@router.post("/threads/{thread_id}/runs")
@needs(AccessScope.SUBMIT)
async def create(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Store a run of a thread and return it."""
    body = await body_of(request, RunCreate)
    return created(await create_run(services, principal, thread_id, body, by=by))


def created(run: Run) -> Response:
    """Return the reply for a new run."""
    return JsonReply(json.dumps(run_view(run)), headers={"Content-Location": run.path})


@router.get("/threads/{thread_id}/runs")
@needs(AccessScope.READ)
async def list_(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """List the runs of a thread, newest first."""
    found = await list_runs(services, principal, thread_id, status, limit=limit, offset=offset)
    return JsonReply(json.dumps([run_view(run) for run in found]))


@router.get("/threads/{thread_id}/runs/{run_id}")
@needs(AccessScope.READ)
async def get(services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, run_id: RunIdDep) -> Response:
    """Return a run."""
    return JsonReply(json.dumps(run_view(await find_run(services, principal, thread_id, run_id))))
