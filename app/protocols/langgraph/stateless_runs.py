"""Endpoints of runs with private threads, and of runs in many threads."""

import json
from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, body_of
from ...api.limit_headers import limit_headers
from ...api.replies import JsonReply
from ...api.schemas.submissions import MAX_BATCH
from ...errors import InvalidRequest
from ...models.messages import MessageFilter, MessageState
from ...models.requests import Selection
from ...models.types import ThreadId
from ...services import Services
from ..priorities import PriorityDep
from ..routing import KeyNameDep
from ..runs import Run
from .errors import not_served
from .routing import make_router
from .run_bodies import RunInBodyDep
from .run_cancels import CancelAction, NothingToCancel, cancel_runs
from .run_creation import create_runs, require_thread
from .run_lookup import RunNotFound, find_run
from .run_views import run_view
from .schemas.fields import Name
from .schemas.runs import RunCreate
from .thread_runs import create_and_show, create_and_wait

router = make_router()

STATES = {
    "pending": frozenset({MessageState.QUEUED}),
    "running": frozenset({MessageState.PROCESSING}),
    "all": frozenset({MessageState.QUEUED, MessageState.PROCESSING}),
}


class RunBatch(RootModel[Annotated[list[RunCreate], Field(min_length=1, max_length=MAX_BATCH)]]):
    """Runs to store together."""


class RunsCancel(BaseModel):
    """The runs to cancel: some of a thread, or all with a status."""

    model_config = ConfigDict(extra="ignore")

    thread_id: ThreadId | None = None
    run_ids: Annotated[list[Name], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    status: Literal["pending", "running", "all"] | None = None

    @model_validator(mode="after")
    def _one_selection(self) -> "RunsCancel":
        if (self.status is None) == (self.run_ids is None) or (self.run_ids is not None and self.thread_id is None):
            raise ValueError("expected either `thread_id` and `run_ids`, or `status`")
        return self


@router.post("/runs")
@needs(AccessScope.SUBMIT)
async def create(
    body: RunInBodyDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep, key: KeyNameDep
) -> Response:
    """Store a run with a private thread and return it."""
    return await create_and_show(services, principal, None, body, key, by)


@router.post("/runs/wait")
@needs(AccessScope.SUBMIT)
async def wait(
    body: RunInBodyDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep, key: KeyNameDep
) -> Response:
    """Store a run with a private thread, and return the values after it."""
    return await create_and_wait(services, principal, None, body, key, by)


@router.post("/runs/batch")
@needs(AccessScope.SUBMIT)
async def create_batch(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    priority: PriorityDep = None,
) -> Response:
    """Store many runs in one transaction: all of them in this order, or none."""
    bodies = [body.with_default(priority) for body in (await body_of(request, RunBatch)).root]
    for at, body in enumerate(bodies):
        if body.answers:
            name = f"{at}.command.resume"
            raise InvalidRequest(f"{name}: a batch takes no answers", field=name)
        if body.thread_id is not None:
            await require_thread(services, principal, body.thread_id, body)
    runs = await create_runs(services, principal, [(body.thread_id, body) for body in bodies], key=key, by=by)
    return JsonReply(json.dumps([run_view(run) for run in runs]), headers=limit_headers(runs[0].counted))


@router.post("/runs/cancel")
@needs(AccessScope.CONTROL)
async def cancel(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    action: CancelAction = "interrupt",
) -> Response:
    """Cancel many runs."""
    body = await body_of(request, RunsCancel)
    if body.status is not None:
        if action == "rollback":
            raise not_served("action: a rollback of all runs with a status is not served. Name them in `run_ids`.")
        chosen = MessageFilter(states=STATES[body.status], thread_id=body.thread_id)
        await services.bulk.cancel(principal, Selection(chosen=chosen), by)
    else:
        runs = await _named(services, principal, body.thread_id or "", body.run_ids or [])
        await cancel_runs(services, principal, runs, action, by=by)
    return Response(status_code=204)


async def _named(services: Services, caller: Principal, thread_id: str, run_ids: list[str]) -> list[Run]:
    """Return runs of a thread. Raises NothingToCancel if one of them is missing."""
    try:
        return [await find_run(services, caller, thread_id, run_id) for run_id in dict.fromkeys(run_ids)]
    except RunNotFound:
        raise NothingToCancel from None
