"""Keeps humans' answers when a step runs again. See docs/adr/0028."""

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME
from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointTuple

from ..models.memory import MEMORY_ANSWERS_KEY

KEPT_CHANNEL = RESUME
"""The channel of the answers that a task has received, in the order of its questions. A repeated step needs them."""
KEPT_NUMBER = WRITES_IDX_MAP[RESUME]

Writes = Sequence[tuple[str, Any]]


def note_answers(config: RunnableConfig, found: CheckpointTuple | None) -> None:
    """Store in `config` the answers that tasks after this checkpoint have received. `settled` reads them."""
    known: dict[str, list[Any]] | None = config["configurable"].get(MEMORY_ANSWERS_KEY)
    if known is None or found is None:
        return
    for task_id, channel, value in found.pending_writes or ():
        if channel == RESUME:
            known[task_id] = _longer(known.get(task_id, []), list(value) if isinstance(value, list) else [value])


def settled(config: RunnableConfig, writes: Writes, task_id: str) -> Writes:
    """Return the writes of a task, corrected for three faults of LangGraph.

    - LangGraph replaces all earlier answers with the answers that the node received before it failed.
    - It leaves the last question open if the node failed after it received the answer.
    - It counts a node that failed after a write as finished, and would not run the node's failed edge again.
    """
    known: dict[str, list[Any]] | None = config["configurable"].get(MEMORY_ANSWERS_KEY)
    if known is None:
        return writes
    channels = {channel for channel, _ in writes}
    if ERROR in channels and ERROR_SOURCE_NODE not in channels:
        writes = [write for write in writes if write[0] in WRITES_IDX_MAP]
    elif not channels <= WRITES_IDX_MAP.keys():
        return writes
    result: dict[str, Any] = dict(writes)
    if isinstance(result.get(RESUME), list):
        result[RESUME] = known[task_id] = _longer(known.get(task_id, []), list(result[RESUME]))
    if INTERRUPT not in result and (RESUME in result or ERROR in result):
        result[INTERRUPT] = ()
    return list(result.items())


def _longer(known: list[Any], taken: list[Any]) -> list[Any]:
    return known if len(taken) < len(known) and known[: len(taken)] == taken else taken
