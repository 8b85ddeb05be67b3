"""Runs LangGraph graphs: thread memory, resumption from the last finished step, tokens and tool calls as parts."""

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl

from app.agents.base import AgentDrained, AgentTask, FinalResult
from app.errors import AgentQueueError, AgentUnavailable
from app.models import MEMORY_FENCE_KEY, Part, scrubbed


class HumanInputNeeded(AgentQueueError):
    """The graph asked a human, which this version cannot pass on."""

    code = "human_input_needed"


class LangGraphAgent:
    """A graph with a `messages` state. Meets `app.agents.base.Agent`."""

    def __init__(self, graph: Pregel[Any, Any, Any, Any], checkpointer: BaseCheckpointSaver[Any]) -> None:
        if "messages" not in graph.channels:
            raise AgentUnavailable("The graph's state has no `messages`; use MessagesState or a state with that key.")
        self._graph = graph.copy(update={"checkpointer": checkpointer})

    async def run(self, task: AgentTask) -> AsyncIterator[Part | FinalResult]:
        """See `Agent.run`."""
        config: RunnableConfig = {
            "configurable": {
                "thread_id": task.memory_key,
                "run_id": task.message_id,
                MEMORY_FENCE_KEY: task.memory_fence,
            }
        }
        finished = await self._finished_steps(task, config) if task.lease.attempt > 1 or task.lease.fence > 1 else None
        graph_input = {"messages": [HumanMessage(task.content, id=task.message_id)]} if finished is None else None
        answer = _Answer(finished or ())
        for part in answer.replay():
            yield part
        control = RunControl()

        def drain() -> None:
            control.request_drain("the worker is stopping")

        task.drain.on_request(drain)
        try:
            async for streamed in self._graph.astream(
                graph_input,
                config,
                stream_mode=["messages", "updates", "values"],
                subgraphs=True,
                durability="sync",
                version="v2",
                control=control,
            ):
                for part in answer.read(streamed):
                    yield part
        except GraphDrained as drained:
            raise AgentDrained from drained
        finally:
            task.drain.forget(drain)
        yield FinalResult(answer.final_text(task.message_id))

    async def _finished_steps(self, task: AgentTask, config: RunnableConfig) -> Sequence[AnyMessage] | None:
        """The messages that earlier attempts of this message have left in memory; None when they left nothing."""
        state = await self._graph.aget_state(config)
        if (state.metadata or {}).get("run_id") != task.message_id:
            return None
        messages = state.values.get("messages", [])
        return _after_turn(messages, task.message_id)


class _Answer:
    """Turns what a graph streams into parts, and remembers what the final text is made of."""

    def __init__(self, finished: Sequence[AnyMessage]) -> None:
        self._finished = finished
        self._shown_tool_messages: set[str] = set()
        self._state: dict[str, Any] = {"messages": list(finished)} if finished else {}
        self._text: list[str] = []

    def replay(self) -> Iterator[Part]:
        """The parts of steps that an earlier attempt finished."""
        for message in self._finished:
            if isinstance(message, AIMessage):
                yield from self._content(message)
            yield from self._tools(message)

    def read(self, part: Any) -> Iterator[Part]:
        """The parts of one streamed item."""
        data = part["data"]
        match part["type"]:
            case "messages" if isinstance(data[0], AIMessage | AIMessageChunk):
                yield from self._content(data[0])
            case "updates":
                if "__interrupt__" in data:
                    raise HumanInputNeeded("The agent asked for human input, which this version cannot pass on.")
                for message in _messages_of_update(data):
                    yield from self._tools(message)
            case "values" if part["ns"] == ():
                self._state = data

    def final_text(self, message_id: str) -> str:
        """The text of the last AI message of this turn, else all that was streamed."""
        for message in reversed(_after_turn(self._state.get("messages", []), message_id)):
            if isinstance(message, AIMessage) and message.text:
                return scrubbed(message.text)
        return "".join(self._text)

    def _content(self, message: AIMessage | AIMessageChunk) -> Iterator[Part]:
        if not isinstance(message.content, str):
            for block in message.content_blocks:
                if block["type"] == "reasoning" and block.get("reasoning"):
                    yield Part("reasoning", scrubbed(block["reasoning"]))
        if text := scrubbed(message.text):
            self._text.append(text)
            yield Part("content", text)

    def _tools(self, message: AnyMessage) -> Iterator[Part]:
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                if self._first_sight(f"call {call['id']}"):
                    yield Part("tool_call", {"id": call["id"], "name": call["name"], "args": call["args"]})
        elif isinstance(message, ToolMessage) and self._first_sight(f"result {message.tool_call_id}"):
            result = {"id": message.tool_call_id, "name": message.name, "content": scrubbed(message.text)}
            yield Part("tool_result", {**result, "status": message.status})

    def _first_sight(self, key: str) -> bool:
        """A subgraph's messages come again in the update of the node that holds it."""
        if key in self._shown_tool_messages:
            return False
        self._shown_tool_messages.add(key)
        return True


def _after_turn(messages: Sequence[AnyMessage], message_id: str) -> Sequence[AnyMessage]:
    """The messages behind this turn's human message."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].id == message_id:
            return messages[index + 1 :]
    return messages


def _messages_of_update(data: dict[str, Any]) -> Iterator[AnyMessage]:
    for update in data.values():
        for node_update in update if isinstance(update, list) else [update]:
            if isinstance(node_update, dict):
                found = node_update.get("messages", [])
                yield from found if isinstance(found, list) else [found]


async def load_graph(path: str) -> Pregel[Any, Any, Any, Any]:
    """The graph at `module:attribute` or `/file.py:attribute`; the module is imported on a thread.

    The attribute may be a compiled graph, a StateGraph, or a function (also async) that makes one.
    Raises AgentUnavailable, or whatever the module raises.
    """
    module_name, _, attribute = path.rpartition(":")
    is_file = module_name.endswith(".py")
    module = await asyncio.to_thread(_import_file if is_file else importlib.import_module, module_name)
    try:
        graph = getattr(module, attribute)
    except AttributeError:
        raise AgentUnavailable(f"{module_name} has no attribute {attribute!r}.") from None
    if not isinstance(graph, Pregel | StateGraph) and callable(graph):
        graph = graph({}) if inspect.signature(graph).parameters else graph()
        if inspect.isawaitable(graph):
            graph = await graph
    if isinstance(graph, StateGraph):
        graph = graph.compile()
    if not isinstance(graph, Pregel):
        raise AgentUnavailable(
            f"{path} is a {type(graph).__name__}, expected a LangGraph graph or a function making one."
        )
    return graph


def _import_file(path: str) -> ModuleType:
    """Import a file that need not be on the path, under a name of its own; its folder becomes importable."""
    file = Path(path)
    name = "agent_queue_graph_" + "_".join(file.with_suffix("").parts[1:])
    if name in sys.modules:
        return sys.modules[name]
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise AgentUnavailable(f"There is no file {file.name} in {file.parent.name}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
