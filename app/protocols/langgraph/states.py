"""States in the form of LangGraph's server."""

import json
from collections.abc import Mapping
from typing import Any

from ...access.principals import Principal
from ...errors import AgentUnavailable, ThreadNotFound
from ...errors.threads import AgentCodeFailed, AgentWithoutState
from ...models.thread_states import StateText
from ...services import Services


def state_view(native: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state as LangGraph's clients read it, from the JSON of a ThreadState."""
    checkpoint, parent = native["checkpoint"], native["parent_checkpoint"]
    return {
        "values": native["values"],
        "next": native["next"],
        "tasks": [_task_view(task) for task in native["tasks"]],
        "metadata": native["metadata"] or None,
        "created_at": native["created_at"],
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": native["interrupts"],
        "checkpoint_id": checkpoint and checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent and parent["checkpoint_id"],
    }


def _task_view(native: Mapping[str, Any]) -> dict[str, Any]:
    return {**native, "checkpoint": None, "state": native["state"] and state_view(native["state"])}


def view_of(state: StateText) -> dict[str, Any]:
    """Return a state from its JSON text."""
    return state_view(json.loads(state.text))


async def newest_state(services: Services, caller: Principal, thread_id: str) -> dict[str, Any] | None:
    """Return the newest state of a thread. Raises StoreError.

    Return None if the thread has none, if its agent cannot show it now, or if the caller may not use that agent.
    """
    try:
        state = await services.threads.read_state(caller, thread_id, agent=None, checkpoint_id=None, subgraphs=False)
    except (AgentWithoutState, AgentUnavailable, AgentCodeFailed, ThreadNotFound):
        return None
    view = view_of(state)
    return None if view["checkpoint"] is None else view
