"""Endpoints of the states that agents keep of threads."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ..access.scopes import AccessScope, needs
from ..models.thread_states import ThreadState
from ..models.types import Text
from .deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of, described_body
from .errors import problems
from .listing import Cursor, decode_cursor, next_link
from .replies import JsonReply
from .schemas.thread_states import StateUpdate, StateUpdated, ThreadHistory

router = APIRouter(prefix="/threads", tags=["threads"])

AgentName = Annotated[
    Text | None,
    Query(
        min_length=1,
        max_length=255,
        description="The agent through which the state is read. By default that of the newest message that has begun.",
    ),
]
CheckpointId = Annotated[
    Text | None,
    Query(min_length=1, max_length=255, description="The checkpoint to read. By default the newest one."),
]
Subgraphs = Annotated[bool, Query(description="Whether `tasks` have the states of subgraphs that have not ended.")]
HistoryLimit = Annotated[int, Query(ge=1, le=100, description="Maximum number of states.")]


@router.get(
    "/{thread_id:path}/state",
    operation_id="getThreadState",
    summary="Get the state of a conversation",
    response_model=ThreadState,
    responses=problems(404, 409, 422, 500, 503),
)
@needs(AccessScope.READ)
async def get_thread_state(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    agent: AgentName = None,
    checkpoint_id: CheckpointId = None,
    subgraphs: Subgraphs = False,
) -> Response:
    """Return the values that the agent keeps of a thread, what comes next, and the questions that wait.

    409 for an agent that keeps no state. The first request to a process that runs no agents takes seconds.
    """
    state = await services.threads.read_state(
        principal, thread_id, agent=agent, checkpoint_id=checkpoint_id, subgraphs=subgraphs
    )
    return JsonReply(state.text)


@router.get(
    "/{thread_id:path}/history",
    operation_id="getThreadHistory",
    summary="List the states of a conversation",
    response_model=ThreadHistory,
    responses=problems(404, 409, 422, 500, 503),
)
@needs(AccessScope.READ)
async def get_thread_history(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    agent: AgentName = None,
    limit: HistoryLimit = 10,
    cursor: Cursor = None,
) -> Response:
    """List the states of a thread that are still kept, newest first. `Link` leads to older states."""
    before = decode_cursor(request, cursor, limit).cursor
    states = await services.threads.list_states(
        principal, thread_id, agent=agent, before=before[1] if before else None, limit=limit
    )
    body = f'{{"states":[{",".join(state.text for state in states)}]}}'
    # A page with long states may end early, so only an empty page is surely the last one.
    headers = next_link(request, limit, 0, states[-1].checkpoint_id) if states else {}
    return JsonReply(body, headers=headers)


@router.post(
    "/{thread_id:path}/state",
    operation_id="updateThreadState",
    summary="Change the state of a conversation",
    response_model=StateUpdated,
    responses=problems(404, 409, 413, 415, 422, 500, 503, 504),
    openapi_extra=described_body(StateUpdate),
)
@needs(AccessScope.CONTROL)
async def update_thread_state(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Change the state as if a node had returned the values. The next message continues with the changed state.

    409 while a message of the thread is processing, or if one begins meanwhile.
    """
    body = await body_of(request, StateUpdate)
    checkpoint = await services.threads.update_state(principal, thread_id, body.change(), agent=body.agent, by=by)
    return JsonReply(StateUpdated(checkpoint=checkpoint).model_dump_json())
