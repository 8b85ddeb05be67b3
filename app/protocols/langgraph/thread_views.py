"""Threads as JSON."""

from datetime import timedelta
from typing import Any

from ...access.principals import Principal
from ...models.messages import MessageFilter, MessageState, Page, Thread
from ...models.threads import ThreadStatus
from ...services import Services
from ...text import rfc3339
from .schemas.metadata import whole
from .states import newest_state

FAILED = frozenset({MessageState.FAILED})


async def thread_view(
    services: Services, caller: Principal, thread: Thread, *, with_state: bool = True
) -> dict[str, Any]:
    """Return a thread as LangGraph's clients read it. Without its state, `values` is null.

    A thread whose run was cancelled before the graph's end is `interrupted`, since the graph can go on.
    """
    state = await newest_state(services, caller, thread.thread_id) if with_state else None
    status = thread.status
    if status is ThreadStatus.IDLE and state is not None and state["next"]:
        status = ThreadStatus.INTERRUPTED
    return {
        "thread_id": thread.thread_id,
        "created_at": rfc3339(thread.created_at),
        "updated_at": rfc3339(thread.last_activity),
        "state_updated_at": rfc3339(thread.last_activity),
        "metadata": whole(thread.metadata),
        "status": status,
        "config": {},
        "values": None if state is None else state["values"],
        "error": await _error(services, caller, thread) if status is ThreadStatus.ERROR else None,
        "interrupts": {} if state is None else _interrupts(state),
    }


def ttl_view(thread: Thread) -> dict[str, Any] | None:
    """Return the TTL of a thread as LangGraph's clients read it, None if the thread has none of its own."""
    if thread.ttl is None:
        return None
    expires_at = thread.last_activity + timedelta(minutes=thread.ttl)
    return {"strategy": "delete", "ttl_minutes": thread.ttl, "expires_at": rfc3339(expires_at)}


def _interrupts(state: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the open questions of a state, by the tasks that ask them."""
    return {task["id"]: task["interrupts"] for task in state["tasks"] if task["interrupts"]}


async def _error(services: Services, caller: Principal, thread: Thread) -> dict[str, Any] | None:
    """Return why the newest failed run of a thread failed."""
    chosen = MessageFilter(thread_id=thread.thread_id, states=FAILED)
    found = await services.queue.list_messages(caller, chosen, Page(1))
    return {"error": found[0].error_code, "message": found[0].error} if found else None
