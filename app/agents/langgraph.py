"""Runs LangGraph graphs: keeps thread memory, resumes after the last finished step, streams tokens and tool calls."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from traceback import walk_tb
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.channels import LastValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.pregel._algo import apply_writes
from langgraph.runtime import RunControl
from langgraph.types import Command, Overwrite, StateSnapshot
from typing_extensions import override

from ..errors import LeaseLost, StoreError
from ..models.agents import AgentDescription
from ..models.attempts import Lease
from ..models.inputs import ALL_NODES
from ..models.memory import (
    MEMORY_ANSWERS_KEY,
    MEMORY_BEGUN_KEY,
    MEMORY_FENCE_KEY,
    MEMORY_KEEP_KEY,
    MEMORY_KEPT_KEY,
    AgentMemory,
    CachingMemory,
)
from ..models.parts import Part
from ..policy.agent_input import invalid
from ..policy.failures import described
from ..policy.state_types import explained, watch_refusals
from .answer_builder import AnswerBuilder
from .base import Agent, AgentDrained, AgentInterrupted, AgentTask, Conversation, FinalResult, Redact, StateAccess
from .human_answers import HumanAnswers
from .item_store import ItemStoreFactory
from .message_index import MessageIndex, MessageIndexes, with_index
from .model_calls import ModelCalls
from .run_config import TURN_AFTER, config_of
from .run_input import MESSAGES, GraphInput, Turn
from .run_start import (
    RunStart,
    all_wait,
    answers_to_open_calls,
    end_of_turn,
    finished_tasks_of,
    inside_subgraphs,
    place_after,
    questions_as_json,
    stops_at,
    without_turn,
)
from .shown_events import ShownEvents
from .streamed_messages import note_only_new_messages
from .thread_states import GraphStates
from .traced_calls import callbacks_of

logger = logging.getLogger(__name__)


class LangGraphAgent(Agent):
    """Runs a graph of any state. `checkpointer` is a saver of `app.checkpoints`, also an AgentMemory.

    `description` is the operator's, in place of the graph's docstring. `takes_any_context` means that the context was
    given to the graph's factory too. `store_of` makes the graph's stores, unless it was compiled with its own.
    """

    def __init__(
        self,
        graph: Pregel[Any, Any, Any, Any],
        checkpointer: BaseCheckpointSaver[Any],
        description: str = "",
        *,
        takes_any_context: bool = False,
        store_of: ItemStoreFactory | None = None,
    ) -> None:
        self._description = description
        self._store_of = store_of if graph.store is None else None
        self._input = GraphInput(graph, takes_any_context=takes_any_context)
        channels = with_index(graph.channels, MESSAGES)
        self._graph = graph.copy(update={"checkpointer": checkpointer, "channels": channels})
        self._indexes = MessageIndexes()
        note_only_new_messages()
        found = tool_nodes(graph)
        self._replaces_messages = isinstance(graph.channels.get(MESSAGES), LastValue)
        self._tool_nodes = frozenset(name for name, _ in found)
        self._direct_tools = frozenset(
            name for _, node in found for name, tool in node.tools_by_name.items() if tool.return_direct
        )

    @override
    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        calls = ModelCalls(self._tool_nodes, self._direct_tools, task.usage)
        config = cast(RunnableConfig, config_of(task))
        config["callbacks"] = [calls, *callbacks_of(task.trace)]
        config["configurable"][MEMORY_FENCE_KEY] = task.memory_fence
        context = self._input.context_of(task)
        read: list[Any] = []
        refused = watch_refusals()
        index = self._indexes.take(task.memory_key)
        start = await self._run_start(task, _with(config, MEMORY_KEEP_KEY, read), calls, index)
        config["configurable"][MEMORY_BEGUN_KEY] = task.memory_key
        config["metadata"] = {**config["metadata"], **start.metadata}
        answer = start.answer
        for shown in start.parts():
            yield shown
        if start.is_stopped:
            return
        events = ShownEvents(task.given.events, start.finished_tasks)
        read_parts = events.beside(answer.read)
        control = RunControl()

        def drain() -> None:
            control.request_drain("the worker is stopping")

        task.drain.on_request(drain)
        try:
            streaming = self._with_store(task.tenant, task.lease).astream(
                start.graph_input,
                _with(_with(config, MEMORY_KEPT_KEY, read), MEMORY_ANSWERS_KEY, {}, **start.place),
                context=context,
                interrupt_before=_nodes(task.given.interrupt_before),
                interrupt_after=_nodes(task.given.interrupt_after),
                stream_mode=events.modes,
                subgraphs=True,
                durability="sync",
                version="v2",
                control=control,
            )
            with self._cached(task), self._indexes.used(task.memory_key, index):
                async with aclosing(cast(AsyncGenerator[Any], streaming)) as steps:
                    async for streamed in steps:
                        for part in read_parts(streamed):
                            yield part
        except GraphDrained as drained:
            raise AgentDrained from drained
        except Exception as error:
            await self._note_failure(task, error)
            if (clearer := explained(error, refused, described)) is not error:
                raise clearer from error
            raise
        finally:
            task.drain.forget(drain)
        if answer.interrupted:
            await self._raise_questions(config)
        for last in answer.finish():
            yield last

    async def _note_failure(self, task: AgentTask, error: Exception) -> None:
        """Delete the writes of unfinished steps if a channel refused them."""
        if _is_from_applying_writes(error):
            await self._forget_unfinished(task)

    @override
    def describe(self, name: str) -> AgentDescription:
        found = self._input.description.model_copy(update={"name": name})
        return found.model_copy(update={"description": self._description}) if self._description else found

    @override
    @asynccontextmanager
    async def open_states(
        self, conversation: Conversation, access: StateAccess, redact: Redact
    ) -> AsyncIterator[GraphStates]:
        yield GraphStates(self._with_store(conversation.tenant), conversation, redact)

    @override
    async def fence_off(self, task: AgentTask) -> None:
        message, fence = task.memory_fence  # the next attempt's fence is higher than this one
        memory = cast(AgentMemory, self._graph.checkpointer)
        await memory.forget_messages(task.memory_key, (message, fence + 1), ())

    def _with_store(self, tenant: str, lease: Lease | None = None) -> Pregel[Any, Any, Any, Any]:
        """Return the graph with the tenant's store: of the run with this lease, or outside of runs."""
        if self._store_of is None:
            return self._graph
        return self._graph.copy(update={"store": self._store_of(tenant, lease)})

    @contextmanager
    def _cached(self, task: AgentTask) -> Iterator[None]:
        """Drop the messages that the memory has cached if the run fails: nodes may have changed them in place."""
        try:
            yield
        except BaseException:
            cast(CachingMemory, self._graph.checkpointer).drop_cached(task.memory_key)
            raise

    async def _raise_questions(self, config: RunnableConfig) -> None:
        """Raise AgentInterrupted with all questions: parallel branches may ask at the same time.

        Without a question, the graph has stopped at `interrupt_before` or `interrupt_after`.
        """
        memory_key = config["configurable"]["thread_id"]
        cast(CachingMemory, self._graph.checkpointer).drop_cached(memory_key)
        self._indexes.drop(memory_key)
        state = await self._graph.aget_state(config)
        if state.interrupts:
            raise AgentInterrupted(questions_as_json(state.interrupts))

    async def _run_start(
        self, task: AgentTask, config: RunnableConfig, calls: ModelCalls, index: MessageIndex
    ) -> RunStart:
        """Return where the run starts: a new turn, a human's answers, or after earlier attempts' steps."""
        if task.rollback:
            memory = cast(AgentMemory, self._graph.checkpointer)
            await memory.forget_messages(task.memory_key, task.memory_fence, task.rollback)
        turn = self._input.turn_of(task)
        state = await self._state(task, config)
        if (state.metadata or {}).get("run_id") == task.message_id:
            return await self._later_start(task, turn, state, calls)
        if task.given.checkpoint_id is not None:
            state = await self._state_at(config, task.given.checkpoint_id)
        if task.given.goes_on and state.created_at is None:
            raise invalid("continue" if task.given.continues else "command", "the thread has no state to go on from")
        if task.given.continues:
            return await self._later_start(task, turn, state, calls)
        return self._first_start(task, turn, state, calls, index)

    def _first_start(
        self, task: AgentTask, turn: Turn, state: StateSnapshot, calls: ModelCalls, index: MessageIndex
    ) -> RunStart:
        """Return the start of a turn that no attempt has begun.

        A command is addressed to the state's checkpoint. LangGraph then saves what the command changes as a checkpoint
        of this run, before the first node runs, so a later attempt does not change it again.
        """
        messages = _messages_of(state)
        known = index.ids(messages)
        is_new = known is not None and turn.id not in known
        earlier = messages if is_new else without_turn(messages, turn)
        before = turn.messages if self._replaces_messages and turn.messages else [*earlier, *turn.messages]
        keys = None
        if known is not None and is_new and not self._replaces_messages:
            keys = known | dict.fromkeys(turn.ids, 0)
        outputs = self._graph.output_channels
        answer = AnswerBuilder(turn.id, before, (), calls, outputs, None, task.max_output_bytes, keys)
        metadata = {} if turn.messages else place_after(messages)
        is_addressed = task.given.command is not None or task.given.checkpoint_id is not None
        place = _place_of(state) if is_addressed else {}
        return RunStart(self._graph_input(turn, messages, earlier), answer, metadata=metadata, place=place)

    async def _later_start(self, task: AgentTask, turn: Turn, state: StateSnapshot, calls: ModelCalls) -> RunStart:
        """Return the start of a run that goes on from a state: of an earlier attempt, or where the graph stopped."""
        messages = _messages_of(state)
        is_own = (state.metadata or {}).get("run_id") == task.message_id
        metadata = {key: str(value) for key, value in (state.metadata or {}).items() if key == TURN_AFTER}
        if not is_own:
            metadata = {**place_after(messages)}
        begin = end_of_turn(messages, turn, metadata.get(TURN_AFTER))
        finished = [*messages[begin:], *(inside_subgraphs(state, messages) if is_own else ())]
        values = state.values if is_own and isinstance(state.values, dict) else {} if is_own else None
        outputs = self._graph.output_channels
        answer = AnswerBuilder(turn.id, messages[:begin], finished, calls, outputs, values, task.max_output_bytes)
        answers = HumanAnswers(task.resume or {})
        if all_wait(state) and answers.keys().isdisjoint(each.id for each in state.interrupts):
            return RunStart(None, answer, questions=questions_as_json(state.interrupts))
        if is_own and await self._is_stopped(task, state):
            return RunStart(None, answer, is_stopped=True)
        place = {} if is_own or task.given.checkpoint_id is None else _place_of(state)
        graph_input: Any = Command(resume=answers) if answers else None
        return RunStart(graph_input, answer, None, metadata, frozenset(finished_tasks_of(state)), place)

    async def _is_stopped(self, task: AgentTask, state: StateSnapshot) -> bool:
        """Return whether an earlier attempt stopped at `interrupt_before` or `interrupt_after`, and was lost then.

        LangGraph would run past the place where it stopped.
        """
        if not state.next or any(each.result is not None or each.error or each.interrupts for each in state.tasks):
            return False
        source = (state.metadata or {}).get("source")
        if source == "fork":  # what a command or a checkpoint made, before the first step
            return False
        if stops_at(task.given.interrupt_before or tuple(self._graph.interrupt_before_nodes), state.next):
            return True
        after = task.given.interrupt_after or tuple(self._graph.interrupt_after_nodes)
        if not after or source != "loop" or state.parent_config is None:
            return False
        return stops_at(after, (await self._graph.aget_state(state.parent_config)).next)

    async def _state_at(self, config: RunnableConfig, checkpoint_id: str) -> StateSnapshot:
        """Return an earlier state of the conversation. Raises InvalidInput if it is not kept."""
        state = await self._graph.aget_state(_with(config, "checkpoint_id", checkpoint_id, checkpoint_ns=""))
        if state.created_at is None:
            raise invalid("checkpoint_id", "the thread has no such state, or no longer keeps it")
        return state

    async def _state(self, task: AgentTask, config: RunnableConfig) -> StateSnapshot:
        """Return the newest state of the conversation. If another message made it, leave out unfinished steps.

        Delete the writes of unfinished steps if a reducer or the serializer refuses them.
        """
        subgraphs = task.lease.fence > 1
        try:
            state = await self._graph.aget_state(config, subgraphs=subgraphs)
        except (LeaseLost, StoreError):
            raise
        except Exception:  # noqa: BLE001  a reducer may raise anything, and a write may be unreadable
            logger.warning("The writes of an unfinished step cannot be used and are deleted: id=%s", task.message_id)
            await self._forget_unfinished(task)
            config["configurable"][MEMORY_KEEP_KEY].clear()
            state = await self._graph.aget_state(config, subgraphs=subgraphs)
        is_others = (state.metadata or {}).get("run_id") != task.message_id
        if is_others and any(each.result is not None for each in state.tasks):
            state = await self._graph.aget_state(state.config)
        return state

    async def _forget_unfinished(self, task: AgentTask) -> None:
        memory = cast(AgentMemory, self._graph.checkpointer)
        await memory.forget_unfinished(task.memory_key, task.memory_fence)

    def _graph_input(self, turn: Turn, messages: Sequence[Any], earlier: Sequence[Any]) -> Any:
        """Return the input that begins a run, with this turn at the end of the conversation.

        `messages` is the stored conversation. `earlier` is the same without earlier tries at this turn.
        """
        if not turn.messages:
            return turn.value
        added = [*answers_to_open_calls(earlier, turn.messages), *turn.messages]
        if len(earlier) == len(messages) or self._replaces_messages:
            return {**turn.value, MESSAGES: added}
        # a reducer would leave a message with a known id in its old place
        return {**turn.value, MESSAGES: Overwrite([*earlier, *added])}


def _is_from_applying_writes(error: Exception) -> bool:
    """Return whether a channel raised the error because it refused a finished step's writes."""
    return any(frame.f_code is apply_writes.__code__ for frame, _ in walk_tb(error.__traceback__))


def _with(config: RunnableConfig, key: str, value: object, **more: object) -> RunnableConfig:
    return {**config, "configurable": {**config["configurable"], key: value, **more}}


def _nodes(names: Sequence[str]) -> Any:
    """Return nodes to stop at, in LangGraph's form: None stands for those of the graph."""
    return None if not names else "*" if tuple(names) == ALL_NODES else list(names)


def _place_of(state: StateSnapshot) -> dict[str, str]:
    """Return the part of a config that addresses the checkpoint of a state."""
    return {"checkpoint_ns": "", "checkpoint_id": state.config["configurable"]["checkpoint_id"]}


def _messages_of(state: StateSnapshot) -> list[Any]:
    found = state.values.get(MESSAGES) if isinstance(state.values, dict) else None
    return found if isinstance(found, list) else []


def tool_nodes(graph: Pregel[Any, Any, Any, Any]) -> list[tuple[str, ToolNode]]:
    """Return the nodes that run tools, with their names, from the graph and its subgraphs."""
    inner = (each for _, each in graph.get_subgraphs(recurse=True) if isinstance(each, Pregel))
    nodes = (item for each in (graph, *inner) for item in each.nodes.items())
    return [(name, node.bound) for name, node in nodes if isinstance(node.bound, ToolNode)]
