"""Where a run starts, by the state of its conversation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.types import Interrupt, StateSnapshot

from ..models.inputs import ALL_NODES
from ..models.parts import Part
from ..text import storable_json
from .answer_builder import AnswerBuilder
from .base import AgentInterrupted, FinalResult
from .run_config import TURN_AFTER
from .run_input import MESSAGES, Turn
from .state_messages import id_of


def all_wait(state: StateSnapshot) -> bool:
    """Return whether the graph has questions, and every unfinished task waits for an answer."""
    unfinished = [each for each in state.tasks if each.result is None]
    return bool(state.interrupts) and all(each.interrupts for each in unfinished)


class RunStart(NamedTuple):
    """The input of a run, and metadata for its checkpoints.

    The graph does not run if `questions` is given, or if `is_stopped`: an earlier attempt stopped where it has to.
    `place` is the part of the config that addresses an earlier checkpoint. `finished_tasks` are the ids of the tasks in
    an unfinished step that earlier attempts finished.
    """

    graph_input: Any
    answer: AnswerBuilder
    questions: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})
    finished_tasks: frozenset[str] = frozenset()
    place: Mapping[str, str] = MappingProxyType({})
    is_stopped: bool = False

    def parts(self) -> Iterator[Part | FinalResult]:
        """Yield what earlier attempts showed, and the end of a run that has stopped. Raises AgentInterrupted."""
        yield from self.answer.replay()
        if self.questions is not None:
            raise AgentInterrupted(self.questions)
        if self.is_stopped:
            yield from self.answer.finish()


def finished_tasks_of(state: StateSnapshot) -> Iterator[str]:
    """Yield the ids of the tasks that have finished in unfinished steps of the graph and its subgraphs."""
    for task in state.tasks:
        if task.result is not None:
            yield task.id
        elif isinstance(task.state, StateSnapshot):
            yield from finished_tasks_of(task.state)


def inside_subgraphs(state: StateSnapshot, known: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages that unfinished subgraphs have beyond `known`, the messages of the outer graphs."""
    ids = {id_of(message) for message in known}
    found = []
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            values = task.state.values if isinstance(task.state.values, dict) else {}
            inner = [m for m in values.get(MESSAGES, []) if id_of(m) not in ids]
            found += [*inner, *inside_subgraphs(task.state, [*known, *inner])]
    return found


def without_turn(messages: Sequence[Any], turn: Turn) -> Sequence[Any]:
    """Return the conversation without this turn's messages and the messages that answer them."""
    for start, message in enumerate(messages):
        if turn.messages and id_of(message) == turn.id:
            behind = range(start + 1, len(messages))
            end = next((index for index in behind if isinstance(messages[index], HumanMessage)), len(messages))
            return [each for each in (*messages[:start], *messages[end:]) if id_of(each) not in turn.ids]
    return messages


def end_of_turn(messages: Sequence[Any], turn: Turn, after: str | None) -> int:
    """Return the index after this turn's own messages; without them, the length of the conversation.

    For a turn without messages, `after` is the previous message's id, empty if there is none.
    """
    if not turn.messages and after == "":
        return 0
    ids = turn.ids if turn.messages else {after}
    return next((index for index in range(len(messages), 0, -1) if id_of(messages[index - 1]) in ids), len(messages))


def place_after(messages: Sequence[Any]) -> Mapping[str, str]:
    """Return metadata with the last message's id under TURN_AFTER; empty if the message has no id."""
    last = id_of(messages[-1]) if messages else ""
    return {} if last is None else {TURN_AFTER: last}


def questions_as_json(interrupts: Sequence[Interrupt]) -> str:
    """Return the questions in the form of `Message.interrupt`."""
    return json.dumps([{"id": each.id, "value": storable_json(each.value)} for each in interrupts])


def answers_to_open_calls(messages: Sequence[Any], turn: Sequence[AnyMessage]) -> list[ToolMessage]:
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


def stops_at(nodes: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a run that stops at `nodes` stops at one of `names`."""
    return bool(names) and (tuple(nodes) == ALL_NODES or not set(nodes).isdisjoint(names))
