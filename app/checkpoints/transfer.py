"""Reads what agents remember of a conversation, and stores it in a memory of any engine.

Values stay encoded by the memory's serializer, which is the same for every engine.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..errors import StateUnreadable

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple

    from .saver import FencedSaver

Encoded = tuple[str, bytes]

DELTAS = "counters_since_delta_snapshot"
"""Key in the metadata of a checkpoint of a graph with LangGraph's DeltaChannel."""


TURNS = 2
"""The number of turns that are read. The newest answer can then be made anew from the state before it."""


class StoredWrite(NamedTuple):
    """A value that a task wrote after a checkpoint."""

    task_id: str
    channel: str
    value: Encoded


class StoredStep(NamedTuple):
    """A checkpoint of a graph or subgraph, and what tasks have written after it.

    `parent_id` is None if no earlier checkpoint is needed.
    """

    namespace: str
    checkpoint_id: str
    parent_id: str | None
    checkpoint: Encoded
    metadata: Mapping[str, Any]
    writes: Sequence[StoredWrite]


async def read_steps(saver: "FencedSaver", memory_key: str) -> Sequence[StoredStep]:
    """Return the steps with which a conversation can go on, the oldest first.

    These are the last steps of the newest turns, of the graph and of each subgraph. A graph with LangGraph's
    DeltaChannel needs all steps, since its values are made of the writes of earlier ones.
    """
    found = [each async for each in saver.alist({"configurable": {"thread_id": memory_key}})]
    found.sort(key=lambda each: str(each.checkpoint["id"]))
    needs_all = any(DELTAS in each.metadata for each in found)
    return [_step(saver, each, is_alone=not needs_all) for each in (found if needs_all else _last_steps(found))]


def _last_steps(found: Sequence["CheckpointTuple"]) -> Sequence["CheckpointTuple"]:
    """Return the last step of each of the newest turns of each graph. `found` and the result have the oldest first."""
    last: defaultdict[str, dict[object, CheckpointTuple]] = defaultdict(dict)
    for each in reversed(found):
        of_graph, turn = last[each.config["configurable"]["checkpoint_ns"]], each.metadata.get("run_id")
        if turn not in of_graph and len(of_graph) < TURNS:
            of_graph[turn] = each
    kept = {each.checkpoint["id"] for of_graph in last.values() for each in of_graph.values()}
    return [each for each in found if each.checkpoint["id"] in kept]


def _step(saver: "FencedSaver", found: "CheckpointTuple", *, is_alone: bool) -> StoredStep:
    dump = saver.serde.dumps_typed
    parent = None if is_alone or found.parent_config is None else found.parent_config["configurable"]["checkpoint_id"]
    writes = [StoredWrite(task_id, channel, dump(value)) for task_id, channel, value in found.pending_writes or ()]
    namespace, checkpoint = found.config["configurable"]["checkpoint_ns"], found.checkpoint
    return StoredStep(namespace, checkpoint["id"], parent, dump(checkpoint), dict(found.metadata), writes)


async def write_step(saver: "FencedSaver", memory_key: str, step: StoredStep) -> bool:
    """Store a step of a conversation. Return False if the conversation has it, or a later one.

    No server may run agents on this memory meanwhile. Raises StateUnreadable for a step that was changed.
    """
    present = await saver.aget_tuple(_place(memory_key, step.namespace, None))
    known = "" if present is None else str(present.checkpoint["id"])
    if known > step.checkpoint_id:
        return False
    if known < step.checkpoint_id:
        checkpoint = _checkpoint_of(saver, step)
        place = _place(memory_key, step.namespace, step.parent_id)
        await saver.aput(place, checkpoint, cast(Any, dict(step.metadata)), checkpoint["channel_versions"])
    elif present is None or len(present.pending_writes or ()) >= len(step.writes):
        return False
    tasks: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
    for write in step.writes:
        tasks[write.task_id].append((write.channel, saver.serde.loads_typed(write.value)))
    for task_id, values in tasks.items():
        await saver.aput_writes(_place(memory_key, step.namespace, step.checkpoint_id), values, task_id)
    return True


def _checkpoint_of(saver: "FencedSaver", step: StoredStep) -> Any:
    """Return a checkpoint with versions in the form of this memory, since only those of one form can be compared."""
    checkpoint = saver.serde.loads_typed(step.checkpoint)
    if not (isinstance(checkpoint, dict) and checkpoint.get("id") == step.checkpoint_id):
        raise StateUnreadable("it is no checkpoint, or that of another step")
    versions: dict[str, str] = {}

    def ours(version: str) -> str:
        if version not in versions:
            number = int(version.partition(".")[0])
            versions[version] = saver.get_next_version(str(number - 1), None)
        return versions[version]

    try:
        seen = {
            node: {channel: ours(version) for channel, version in found.items()}
            for node, found in checkpoint["versions_seen"].items()
        }
        present = {channel: ours(version) for channel, version in checkpoint["channel_versions"].items()}
        values = dict(checkpoint["channel_values"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateUnreadable("its values or their versions are missing") from error
    return {**checkpoint, "channel_values": values, "channel_versions": present, "versions_seen": seen}


def _place(memory_key: str, namespace: str, checkpoint_id: str | None) -> "RunnableConfig":
    place = {"thread_id": memory_key, "checkpoint_ns": namespace}
    return {"configurable": place if checkpoint_id is None else {**place, "checkpoint_id": checkpoint_id}}
