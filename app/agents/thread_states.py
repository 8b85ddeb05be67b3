"""Reads the states of one conversation through its graph."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RUNTIME
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.errors import InvalidUpdateError
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.types import Interrupt, PregelTask, StateSnapshot
from typing_extensions import override

from ..errors import AgentQueueError, LeaseLost, StoreError
from ..errors.threads import CheckpointNotFound, StateWillBeForgotten
from ..models.memory import MEMORY_BEGUN_KEY, MEMORY_CHANGE_KEY, MEMORY_FENCE_KEY
from ..models.thread_states import Checkpoint, StateChange, StateInterrupt, StateTask, StateText, ThreadState
from ..models.threads import MemoryRight, Turn
from ..policy.agent_input import invalid
from ..policy.failures import described
from .base import Conversation, ConversationStates, Redact
from .json_output import as_json
from .state_json import StateJson
from .state_updates import update_of

CHECKPOINTS_AT_ONCE = 10

OF_ONE_STEP = frozenset({"source", "step", "parents", "writes", "counters_since_delta_snapshot"})
"""Metadata that LangGraph writes for each checkpoint."""


class GraphStates(ConversationStates):
    """The states of one conversation. `graph` has the agents' memory as its checkpointer, and the tenant's store."""

    def __init__(self, graph: Pregel[Any, Any, Any, Any], conversation: Conversation, redact: Redact) -> None:
        self._graph = graph
        self._saver = cast(BaseCheckpointSaver[Any], graph.checkpointer)
        self._memory_key = conversation.memory_key
        self._thread_id = conversation.thread_id
        self._redact = redact

    @override
    async def read(self, checkpoint_id: str | None, *, subgraphs: bool) -> StateText:
        return await self._text_of(await self._snapshot(checkpoint_id, subgraphs=subgraphs), StateJson())

    @override
    async def history(self, before: str | None, limit: int, most_text: int) -> list[StateText]:
        earlier = None if before is None else self._config(before)
        found: list[StateText] = []
        length = 0
        converted = StateJson()
        async for snapshot in self._graph.aget_state_history(self._config(), before=earlier, limit=limit):
            found.append(await self._text_of(snapshot, converted))
            length += len(found[-1].text)
            if length >= most_text:
                break
        return found

    @override
    async def newest_turn(self, without: Collection[str] = (), of: str | None = None) -> Turn | None:
        async for turn in self._turns():
            if turn.message_id not in without and of in (None, turn.message_id):
                return turn
        return None

    @override
    async def turn_at(self, checkpoint_id: str) -> Turn:
        if (found := await self._saver.aget_tuple(self._config(checkpoint_id))) is None:
            raise CheckpointNotFound(checkpoint_id)
        return _turn(found)

    @override
    async def oldest_turn(self) -> Turn | None:
        oldest = None
        async for turn in self._turns():
            oldest = turn
        return oldest

    async def _turns(self) -> AsyncIterator[Turn]:
        """Yield the checkpoints of the conversation, newest first. They are read in pages, since they may be long."""
        before = None
        while page := [
            found async for found in self._saver.alist(self._config(), before=before, limit=CHECKPOINTS_AT_ONCE)
        ]:
            for found in page:
                yield _turn(found)
            before = page[-1].config

    @override
    async def update(
        self, change: StateChange, right: MemoryRight, confirm: Callable[[], Awaitable[object]]
    ) -> Checkpoint:
        values = update_of(self._graph, change)
        await self._check(change.checkpoint_id)
        config = self._config(change.checkpoint_id, **{MEMORY_FENCE_KEY: right.fence})
        # This read takes the right to write. The state cannot change any more without taking it away again.
        saved = await self._saver.aget_tuple(config)
        config["configurable"][MEMORY_BEGUN_KEY] = self._memory_key
        # LangGraph saves the writes before the checkpoint. Alone, they would end the task of a waiting question.
        config["configurable"][MEMORY_CHANGE_KEY] = []
        # LangGraph gives no runtime to the conditional edges that an update runs, so they could not be called
        config["configurable"][CONFIG_KEY_RUNTIME] = Runtime(store=self._graph.store)
        if saved is not None:
            config["metadata"] = _turn_of(saved.metadata)
            if saved.metadata.get("run_id") in right.rolled_back:
                raise StateWillBeForgotten(self._thread_id)
        await confirm()
        try:
            changed = await self._graph.aupdate_state(config, values, change.as_node)
        except (LeaseLost, StoreError):
            raise
        except InvalidUpdateError as error:
            raise invalid("as_node" if change.as_node is None else "values", _first_line(error)) from None
        except Exception as error:  # noqa: BLE001  a reducer may raise anything for values that it does not take
            raise invalid("values", f"the graph refuses the update: {self._redact(described(error))}") from None
        made = self._checkpoint_of(changed)
        assert made is not None, "an update makes a checkpoint"
        return made

    async def _snapshot(self, checkpoint_id: str | None, *, subgraphs: bool = False) -> StateSnapshot:
        """Return the state at a checkpoint, or the newest one. Raises CheckpointNotFound."""
        await self._check(checkpoint_id)
        config = self._config(checkpoint_id)
        try:
            return await self._graph.aget_state(config, subgraphs=subgraphs)
        except AgentQueueError:
            raise
        except Exception:
            # A reducer may refuse the writes of an unfinished step. Without them there is always a state.
            found = None if checkpoint_id is not None else await self._saver.aget_tuple(config)
            if found is None:
                raise
            return await self._graph.aget_state(found.config, subgraphs=subgraphs)

    async def _check(self, checkpoint_id: str | None) -> None:
        """Raise CheckpointNotFound if the conversation has no such checkpoint."""
        if checkpoint_id is not None and await self._saver.aget_tuple(self._config(checkpoint_id)) is None:
            raise CheckpointNotFound(checkpoint_id)

    def _config(self, checkpoint_id: str | None = None, **more: Any) -> RunnableConfig:
        place = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
        return {"configurable": {"thread_id": self._memory_key, "checkpoint_ns": "", **place, **more}}

    async def _text_of(self, snapshot: StateSnapshot, converted: StateJson) -> StateText:
        """Return a state as JSON. This may run code of users' classes and take long, so it runs on a thread."""
        checkpoint_id: str = (snapshot.config or {}).get("configurable", {}).get("checkpoint_id", "")
        text = await asyncio.to_thread(lambda: self._state_of(snapshot, converted).model_dump_json())
        return StateText(checkpoint_id, text)

    def _state_of(self, snapshot: StateSnapshot, converted: StateJson) -> ThreadState:
        metadata = cast("dict[str, Any]", as_json(dict(snapshot.metadata or {})))
        return ThreadState(
            values=converted.values(snapshot.values),
            next=list(snapshot.next),
            tasks=[self._task_of(task, converted) for task in snapshot.tasks],
            interrupts=_interrupts_of(snapshot.interrupts),
            checkpoint=self._checkpoint_of(snapshot.config),
            parent_checkpoint=self._checkpoint_of(snapshot.parent_config),
            metadata=metadata,
            message_id=metadata.get("run_id"),
            created_at=None if snapshot.created_at is None else datetime.fromisoformat(snapshot.created_at),
        )

    def _task_of(self, task: PregelTask, converted: StateJson) -> StateTask:
        return StateTask(
            id=task.id,
            name=task.name,
            error=None if task.error is None else self._redact(str(as_json(task.error))),
            interrupts=_interrupts_of(task.interrupts),
            result=as_json(task.result),
            state=self._state_of(task.state, converted) if isinstance(task.state, StateSnapshot) else None,
        )

    def _checkpoint_of(self, config: Mapping[str, Any] | None) -> Checkpoint | None:
        place = (config or {}).get("configurable", {})
        if not place.get("checkpoint_id"):
            return None
        return Checkpoint(
            thread_id=self._thread_id,
            checkpoint_ns=place.get("checkpoint_ns", ""),
            checkpoint_id=place["checkpoint_id"],
        )


def _interrupts_of(interrupts: Sequence[Interrupt]) -> list[StateInterrupt]:
    return [StateInterrupt(id=each.id, value=as_json(each.value)) for each in interrupts]


def _turn(found: CheckpointTuple) -> Turn:
    made = datetime.fromisoformat(found.checkpoint["ts"])
    return Turn(found.checkpoint["id"], found.metadata.get("run_id"), made, begins=found.metadata.get("step") == -1)


def _turn_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that all checkpoints of a turn share.

    An update keeps them. A run that waits for an answer then still finds its own turn, and the update is forgotten
    together with the turn.
    """
    return {key: value for key, value in metadata.items() if key not in OF_ONE_STEP and not key.startswith("__")}


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
