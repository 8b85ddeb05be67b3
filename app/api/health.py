"""Endpoints for probes: whether this process is alive and can take work. They are public and show no users' data."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response

from .. import __version__
from ..access.scopes import public
from ..errors import StoreError
from ..models.workers import AgentState
from ..services import Services
from .deps import ServicesDep
from .replies import JsonReply
from .schemas.health import Alive, Check, Health

LIMIT_SECONDS = 2.0
"""Longest time that a probe waits for the database, and beside it for the agents' memory."""

router = APIRouter(prefix="/health", tags=["health"])


async def _health(services: Services) -> Health:
    registry = services.registry
    starting = not registry.loaded.is_set()
    proven = services.worker.slots and not starting
    store_problem, memory_problem = await asyncio.gather(
        _within_limit(_store_problem(services)), _within_limit(_memory_problem(services)) if proven else _no_problem()
    )
    checks = {"store": Check(ok=not store_problem, detail=store_problem)}
    if memory_problem:
        checks["memory"] = Check(ok=False, detail=memory_problem)
    problems_found = [f"{name}: {reason}" for name, reason in registry.failures.items()]
    checks["agents"] = Check(ok=not starting and not problems_found, detail="; ".join(problems_found))
    if starting:
        waiting = f"still loading. {registry.waits_for}" if registry.waits_for else "still loading"
        checks["agents"].detail = "; ".join([waiting, *problems_found])
    if services.worker.slots:
        checks["worker"] = Check(ok=services.worker.able, detail=services.worker.trouble)
    ok = all(check.ok for check in checks.values())
    begins = starting and checks["store"].ok and registry.waits_for is None
    status = "healthy" if ok else "starting" if begins else "degraded"
    agents = list(registry.states) if services.worker.slots else []
    return Health(status=status, version=__version__, checks=checks, agents=agents)


def _is_ready(health: Health) -> bool:
    """Return whether this process can take work. A broken agent does not prevent work for other agents."""
    others = all(check.ok for name, check in health.checks.items() if name != "agents")
    return others and (not health.agents or any(agent.state is AgentState.AVAILABLE for agent in health.agents))


async def _within_limit(problem: Awaitable[str]) -> str:
    """Return the problem, or that there was no answer in time. Whoever probes does not wait for long."""
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await problem
    except TimeoutError:
        return f"No answer within {LIMIT_SECONDS:g} seconds."


async def _no_problem() -> str:
    return ""


async def _store_problem(services: Services) -> str:
    """Return why the store cannot be used; empty if it can."""
    try:
        await services.store.ping()
    except StoreError as error:
        services.outage.log("The database does not answer: %s", error)
        return error.state
    return ""


async def _memory_problem(services: Services) -> str:
    """Return why the agents' memory cannot be used; empty if it can."""
    try:
        await services.prove_memory()
    except StoreError as error:
        services.memory_outage.fails("health", "%s", error)
        return error.state
    services.memory_outage.works("health")
    return ""


@router.get("", operation_id="getHealth", summary="See how the server is", response_model=Health)
@public
async def get_health(services: ServicesDep) -> Response:
    """Return the state of the server in `status` and `checks`. The reply is always 200."""
    return JsonReply((await _health(services)).model_dump_json())


@router.get("/live", operation_id="getLiveness", summary="Probe the process", response_model=Alive)
@public
async def get_liveness() -> Response:
    """Return 200 if the process answers at all. Other failures do not count, since a restart would not cure them."""
    return JsonReply(Alive().model_dump_json())


@router.get(
    "/ready",
    operation_id="getReadiness",
    summary="Probe for readiness",
    response_model=Health,
    responses={503: {"model": Health, "description": "Not ready; `checks` says why."}},
)
@public
async def get_readiness(services: ServicesDep) -> Response:
    """Return 200 if the store answers and the worker, if any, has heartbeats and an available agent; else 503."""
    health = await _health(services)
    return JsonReply(health.model_dump_json(), 200 if _is_ready(health) else 503)
