"""Endpoints of threads."""

import json
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

from fastapi import Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.replies import JsonReply
from ...errors.threads import AgentWithoutState, StateGone
from ...models.audit import Actor
from ...models.messages import Page, Thread
from ...models.requests import Fork, ThreadCreation
from ...models.threads import ThreadChange
from ...services import Services
from .errors import not_served
from .json_lists import json_list
from .paging import page_headers
from .routing import make_router
from .schemas.threads import ThreadCreate, ThreadMatch, ThreadPatch, ThreadSearch
from .thread_lookup import find_thread
from .thread_views import thread_view, ttl_view

router = make_router()

PAGE_THREADS = 1_000


@router.post("/threads")
@needs(AccessScope.SUBMIT)
async def create(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Make an empty thread, or return the one that has the id if the body allows that."""
    body = await body_of(request, ThreadCreate)
    wanted = ThreadCreation(
        thread_id=body.thread_id, metadata=body.metadata, keeps_existing=body.if_exists == "do_nothing", ttl=body.ttl
    )
    made = await services.threads.create(principal, wanted)
    reads = AccessScope.READ in principal.scopes and not made.is_new
    return JsonReply(json.dumps(await thread_view(services, principal, made.thread, with_state=reads)))


@router.post("/threads/search")
@needs(AccessScope.READ)
async def search(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return the threads that match all filters."""
    wanted = await body_of(request, ThreadSearch)
    chosen = wanted.chosen()
    found = await _page(services, principal, wanted)
    total = await services.threads.count_threads(principal, None, chosen)
    views = await json_list(_views(services, principal, found, wanted.select))
    return JsonReply(views, headers=page_headers(total, wanted.offset, len(found)))


async def _views(
    services: Services, caller: Principal, threads: Iterable[Thread], select: Collection[str] | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield threads with the selected fields; None for all."""
    with_state = select is None or not {"values", "interrupts", "status"}.isdisjoint(select)
    for thread in threads:
        view = await thread_view(services, caller, thread, with_state=with_state)
        yield {key: value for key, value in view.items() if select is None or key in select}


async def _page(services: Services, caller: Principal, wanted: ThreadSearch) -> list[Thread]:
    """Return the threads of a page. The threads before it are read and left out."""
    chosen, order = wanted.chosen(), wanted.order()
    end = wanted.offset + wanted.limit
    found: list[Thread] = []
    cursor = None
    while len(found) < end:
        limit = min(PAGE_THREADS, end - len(found))
        page = await services.threads.list_threads(caller, Page(limit, cursor), chosen=chosen, order=order)
        found += page
        if len(page) < limit:
            break
        cursor = round(page[-1].time(order.by).timestamp() * 1000), page[-1].thread_id
    return found[wanted.offset :]


@router.post("/threads/count")
@needs(AccessScope.READ)
async def count(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return how many threads match all filters."""
    body = await body_of(request, ThreadMatch)
    return JsonReply(json.dumps(await services.threads.count_threads(principal, None, body.chosen())))


@router.post("/threads/prune")
@needs(AccessScope.CONTROL)
async def prune() -> Response:
    """Refuse to prune threads."""
    raise not_served("threads/prune: this server has no such operation. DELETE /threads/{thread_id} deletes one.")


@router.get("/threads/{thread_id}")
@needs(AccessScope.READ)
async def get(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    include: str | None = None,
) -> Response:
    """Return a thread with its newest state, and with its TTL if `include` names it."""
    thread = await find_thread(services, principal, thread_id)
    view = await thread_view(services, principal, thread)
    if include is not None and "ttl" in include.split(","):
        view["ttl"] = ttl_view(thread)
    return JsonReply(json.dumps(view))


@router.patch("/threads/{thread_id}")
@needs(AccessScope.CONTROL)
async def change(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Merge values into the metadata of a thread, and change its TTL."""
    body = await body_of(request, ThreadPatch)
    await find_thread(services, principal, thread_id)
    ttls = () if body.ttl is None else (body.ttl,)
    thread = await services.threads.change(principal, thread_id, ThreadChange((), body.metadata, ttls), by)
    if "return=minimal" in request.headers.get("prefer", ""):
        return Response(status_code=204)
    reads = AccessScope.READ in principal.scopes
    return JsonReply(json.dumps(await thread_view(services, principal, thread, with_state=reads)))


@router.delete("/threads/{thread_id}")
@needs(AccessScope.CONTROL)
async def delete(services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep) -> Response:
    """Delete a thread, its runs and its states."""
    await find_thread(services, principal, thread_id)
    await services.threads.delete(principal, thread_id, by)
    return Response(status_code=204)


@router.post("/threads/{thread_id}/copy")
@needs(AccessScope.CONTROL)
async def copy(services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep) -> Response:
    """Make a thread with the same states and metadata."""
    thread = await find_thread(services, principal, thread_id)
    copied = await _copy(services, principal, thread, by)
    return JsonReply(json.dumps(await thread_view(services, principal, copied)))


async def _copy(services: Services, caller: Principal, thread: Thread, by: Actor) -> Thread:
    """Return the copy of a thread. A thread without a state is copied as an empty one."""
    try:
        wanted = Fork(name=thread.name, metadata=thread.metadata)
        return await services.threads.fork(caller, thread.thread_id, wanted, by)
    except (StateGone, AgentWithoutState):
        if thread.message_count:
            raise
        empty = ThreadCreation(None, thread.name, thread.metadata, thread.subject)
        return (await services.threads.create(caller, empty)).thread
