"""Runs LangGraph graphs: keeps thread memory, resumes after the last finished step, streams tokens and tool calls."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from traceback import walk_tb
from types import MappingProxyType
from typing import Any, NamedTuple, Never, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import LastValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.pregel._algo import apply_writes
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt, Overwrite, StateSnapshot
from typing_extensions import override

from ..errors import AgentQueueError, LeaseLost, StoreError
from ..models.agents import AgentDescription
from ..models.attempts import Lease
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
from ..policy.failures import described
from ..policy.state_types import explained, watch_refusals
from ..text import storable_json
from .answer_builder import AnswerBuilder
from .base import Agent, AgentDrained, AgentInterrupted, AgentTask, Conversation, FinalResult, Redact, StateAccess
from .human_answers import HumanAnswers
from .item_store import ItemStoreFactory
from .message_index import MessageIndex, MessageIndexes, with_index
from .model_calls import ModelCalls
from .run_config import TURN_AFTER, config_of
from .run_input import MESSAGES, GraphInput, Turn
from .shown_events import ShownEvents
from .state_messages import id_of
from .streamed_messages import note_only_new_messages
from .thread_states import GraphStates
from .traced_calls import callbacks_of

logger = logging.getLogger(__name__)


class StaticBreakpoint(AgentQueueError):
    """The graph stopped at a compiled breakpoint, without a question to answer."""

    code = "static_breakpoint"

    def __init__(self) -> None:
        super().__init__(
            "The graph stopped at `interrupt_before` or `interrupt_after`, which ask nothing. "
            "Call `interrupt()` in a node to ask a human."
        )


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
        for part in answer.replay():
            yield part
        if start.questions is not None:
            raise AgentInterrupted(start.questions)
        events = ShownEvents(task.given.events, start.finished_tasks)
        read_parts = events.beside(answer.read)
        control = RunControl()

        def drain() -> None:
            control.request_drain("the worker is stopping")

        task.drain.on_request(drain)
        try:
            streaming = self._with_store(task.tenant, task.lease).astream(
                start.graph_input,
                _with(_with(config, MEMORY_KEPT_KEY, read), MEMORY_ANSWERS_KEY, {}),
                context=context,
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
            if _is_from_applying_writes(error):
                await self._forget_unfinished(task)
            if (clearer := explained(error, refused, described)) is not error:
                raise clearer from error
            raise
        finally:
            task.drain.forget(drain)
        if answer.interrupted:
            await self._raise_questions(config)
        for last in answer.finish():
            yield last

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

    async def _raise_questions(self, config: RunnableConfig) -> Never:
        """Raise AgentInterrupted with all questions: parallel branches may ask at the same time."""
        memory_key = config["configurable"]["thread_id"]
        cast(CachingMemory, self._graph.checkpointer).drop_cached(memory_key)
        self._indexes.drop(memory_key)
        state = await self._graph.aget_state(config)
        if not state.interrupts:
            raise StaticBreakpoint
        raise AgentInterrupted(_questions_as_json(state.interrupts))

    async def _run_start(
        self, task: AgentTask, config: RunnableConfig, calls: ModelCalls, index: MessageIndex
    ) -> "_RunStart":
        """Return where the run starts: a new turn, a human's answers, or after earlier attempts' steps."""
        if task.rollback:
            memory = cast(AgentMemory, self._graph.checkpointer)
            await memory.forget_messages(task.memory_key, task.memory_fence, task.rollback)
        turn = self._input.turn_of(task)
        state = await self._state(task, config)
        values = state.values if isinstance(state.values, dict) else {}
        found = values.get(MESSAGES)
        messages = found if isinstance(found, list) else []
        outputs = self._graph.output_channels
        if (state.metadata or {}).get("run_id") != task.message_id:
            known = index.ids(messages)
            is_new = known is not None and turn.id not in known
            earlier = messages if is_new else _without_turn(messages, turn)
            before = turn.messages if self._replaces_messages else [*earlier, *turn.messages]
            keys = None
            if known is not None and is_new and not self._replaces_messages:
                keys = known | dict.fromkeys(turn.ids, 0)
            answer = AnswerBuilder(turn.id, before, (), calls, outputs, None, task.max_output_bytes, keys)
            metadata = {} if turn.messages else _place_after(messages)
            return _RunStart(self._graph_input(turn, messages, earlier), answer, metadata=metadata)
        metadata = {key: str(value) for key, value in (state.metadata or {}).items() if key == TURN_AFTER}
        begin = _end_of_turn(messages, turn, metadata.get(TURN_AFTER))
        finished = [*messages[begin:], *_inside_subgraphs(state, messages)]
        answer = AnswerBuilder(turn.id, messages[:begin], finished, calls, outputs, values, task.max_output_bytes)
        answers = HumanAnswers(task.resume or {})
        if _all_wait(state) and answers.keys().isdisjoint(each.id for each in state.interrupts):
            return _RunStart(None, answer, questions=_questions_as_json(state.interrupts))
        finished_tasks = frozenset(_finished_tasks(state))
        return _RunStart(Command(resume=answers) if answers else None, answer, None, metadata, finished_tasks)

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
        added = [*_answers_to_open_calls(earlier, turn.messages), *turn.messages]
        if len(earlier) == len(messages) or self._replaces_messages:
            return {**turn.value, MESSAGES: added}
        # a reducer would leave a message with a known id in its old place
        return {**turn.value, MESSAGES: Overwrite([*earlier, *added])}


def _all_wait(state: StateSnapshot) -> bool:
    """Return whether the graph has questions, and every unfinished task waits for an answer."""
    unfinished = [each for each in state.tasks if each.result is None]
    return bool(state.interrupts) and all(each.interrupts for each in unfinished)


def _is_from_applying_writes(error: Exception) -> bool:
    """Return whether a channel raised the error because it refused a finished step's writes."""
    return any(frame.f_code is apply_writes.__code__ for frame, _ in walk_tb(error.__traceback__))


def _with(config: RunnableConfig, key: str, value: object) -> RunnableConfig:
    return {**config, "configurable": {**config["configurable"], key: value}}


class _RunStart(NamedTuple):
    """The input of a run, and metadata for its checkpoints. If `questions` is given, the graph does not run.

    `finished_tasks` are the ids of the tasks in an unfinished step that earlier attempts finished.
    """

    graph_input: Any
    answer: AnswerBuilder
    questions: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})
    finished_tasks: frozenset[str] = frozenset()


def tool_nodes(graph: Pregel[Any, Any, Any, Any]) -> list[tuple[str, ToolNode]]:
    """Return the nodes that run tools, with their names, from the graph and its subgraphs."""
    inner = (each for _, each in graph.get_subgraphs(recurse=True) if isinstance(each, Pregel))
    nodes = (item for each in (graph, *inner) for item in each.nodes.items())
    return [(name, node.bound) for name, node in nodes if isinstance(node.bound, ToolNode)]


def _finished_tasks(state: StateSnapshot) -> Iterator[str]:
    """Yield the ids of the tasks that have finished in unfinished steps of the graph and its subgraphs."""
    for task in state.tasks:
        if task.result is not None:
            yield task.id
        elif isinstance(task.state, StateSnapshot):
            yield from _finished_tasks(task.state)


def _inside_subgraphs(state: StateSnapshot, known: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages that unfinished subgraphs have beyond `known`, the messages of the outer graphs."""
    ids = {id_of(message) for message in known}
    found = []
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            values = task.state.values if isinstance(task.state.values, dict) else {}
            inner = [m for m in values.get(MESSAGES, []) if id_of(m) not in ids]
            found += [*inner, *_inside_subgraphs(task.state, [*known, *inner])]
    return found


def _without_turn(messages: Sequence[Any], turn: Turn) -> Sequence[Any]:
    """Return the conversation without this turn's messages and the messages that answer them."""
    for start, message in enumerate(messages):
        if turn.messages and id_of(message) == turn.id:
            behind = range(start + 1, len(messages))
            end = next((index for index in behind if isinstance(messages[index], HumanMessage)), len(messages))
            return [each for each in (*messages[:start], *messages[end:]) if id_of(each) not in turn.ids]
    return messages


def _end_of_turn(messages: Sequence[Any], turn: Turn, after: str | None) -> int:
    """Return the index after this turn's own messages; without them, the length of the conversation.

    For a turn without messages, `after` is the previous message's id, empty if there is none.
    """
    if not turn.messages and after == "":
        return 0
    ids = turn.ids if turn.messages else {after}
    return next((index for index in range(len(messages), 0, -1) if id_of(messages[index - 1]) in ids), len(messages))


def _place_after(messages: Sequence[Any]) -> Mapping[str, str]:
    """Return metadata with the last message's id under TURN_AFTER; empty if the message has no id."""
    last = id_of(messages[-1]) if messages else ""
    return {} if last is None else {TURN_AFTER: last}


def _questions_as_json(interrupts: Sequence[Interrupt]) -> str:
    """Return the questions in the form of `Message.interrupt`."""
    return json.dumps([{"id": each.id, "value": storable_json(each.value)} for each in interrupts])


def _answers_to_open_calls(messages: Sequence[Any], turn: Sequence[AnyMessage]) -> list[ToolMessage]:
    """Return error results for tool calls that a failed turn left unanswered, and that this turn does not answer.

    Providers refuse a conversation with an unanswered call. Without these results every later message of the thread
    fails.
    """
    answered = {message.tool_call_id for message in turn if isinstance(message, ToolMessage)}
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
            continue
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        return [
            ToolMessage("The call was interrupted.", tool_call_id=call["id"] or "", status="error")
            for call in calls
            if call["id"] not in answered
        ]
    return []
