"""Makes the input and the context of a graph's run from what a message gives."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import convert_to_messages
from langgraph.graph import START
from langgraph.pregel import Pregel
from langgraph.types import Command, Send

from ..models.agents import AgentDescription
from ..models.thread_states import StateChange
from ..policy.agent_input import check_context, check_input, check_nodes, check_text, invalid, takes_messages
from .annotations import in_class
from .base import AgentTask
from .schemas import describe_graph, input_keys
from .state_updates import update_of

MESSAGES = "messages"


class Turn(NamedTuple):
    """The part of a conversation that one message adds.

    `value` is the graph's input without `messages`: an object, or any value for a graph whose input is one value; a
    Command or None for a message that goes on. The
    `messages` all have ids. `id` is the id of the last human message, or of the last message if none is human.
    """

    value: Any
    messages: Sequence[AnyMessage]
    id: str

    @property
    def ids(self) -> frozenset[str]:
        """Return the turn's message ids."""
        return frozenset(message.id or "" for message in self.messages)


class GraphInput:
    """Reads what messages give to one graph.

    With `takes_any_context`, a graph without a context class gets any context unchecked, since its factory may have
    read it.
    """

    def __init__(self, graph: Pregel[Any, Any, Any, Any], *, takes_any_context: bool = False) -> None:
        self._graph = graph
        self._takes_any_context = takes_any_context
        self._keys = input_keys(graph)

    @cached_property
    def description(self) -> AgentDescription:
        """Return the graph's description, without its name."""
        return describe_graph(self._graph, self._graph.get_name())

    def turn_of(self, task: AgentTask) -> Turn:
        """Return the turn of a message. Raises InvalidInput, which names the field, for what does not fit."""
        given = task.given
        check_nodes([name for name in self._graph.nodes if name != START], given)
        if given.goes_on:
            return Turn(self._command_of(task), [], task.message_id)
        if given.input is not None:
            return self._turn_of_input(task, given.input)
        content: Any = task.content if given.blocks is None else [dict(block) for block in given.blocks]
        human = HumanMessage(content, id=given.message_id or task.message_id)
        if self._keys is not None and MESSAGES in self._keys:
            return Turn({}, [human], human.id or "")
        check_text(self.description)
        return Turn(self._value_of(human), [], human.id or "")

    def context_of(self, task: AgentTask) -> object:
        """Return the context of a run in the class that the graph declares; None without a context."""
        given = task.given.context
        if given is None or (self._takes_any_context and self._graph.context_schema is None):
            return given
        check_context(self.description, given)
        return in_class(self._graph.context_schema, given, "context")

    def _command_of(self, task: AgentTask) -> "Command[Any] | None":
        """Return the command of a message, None for one that only goes on. Raises InvalidInput."""
        command = task.given.command
        if command is None:
            return None
        update = command.update
        if update is not None:
            update = update_of(self._graph, StateChange(update), "command.update")
        goto = [each if isinstance(each, str) else Send(each.node, each.input) for each in command.goto]
        return Command(update=update, goto=goto)

    def _turn_of_input(self, task: AgentTask, given: Mapping[str, Any]) -> Turn:
        check_input(self.description, given)
        properties = self.description.input_schema.get("properties", {})
        if MESSAGES not in given or not takes_messages(properties.get(MESSAGES, {})):
            value = dict(given) if self._keys is not None else in_class(self._type, given, "input")
            return Turn(value, [], task.given.message_id or task.message_id)
        messages, last = _messages_of(task, given[MESSAGES])
        rest = {key: value for key, value in given.items() if key != MESSAGES}
        if self._keys is None:
            return Turn(in_class(self._type, {**rest, MESSAGES: messages}, "input"), [], last)
        return Turn(rest, messages, last)

    def _value_of(self, human: HumanMessage) -> object:
        """Return a human message in the form that a graph takes whose input is one value: message, blocks or text.

        Raises InvalidInput if the graph takes a text and the message has blocks.
        """
        schema = self.description.input_schema
        if schema.get("type") == "object":
            return {MESSAGES: [human]}
        if takes_messages(schema):
            return [human]
        if schema.get("type") == "string" and not isinstance(human.content, str):
            raise invalid("message", "this agent takes a text, and no list of blocks")
        return human.content

    @property
    def _type(self) -> Any:
        return self._graph.InputType


def _messages_of(task: AgentTask, given: Any) -> tuple[list[AnyMessage], str]:
    """Return the messages of an input, each with an id, and the id of the last human message.

    A message without an id gets the same new id in each attempt.
    """
    written = given if isinstance(given, list) else [given]
    messages: list[Any] = []
    for index, each in enumerate(written):
        try:
            messages += convert_to_messages([each])
        except Exception as error:  # noqa: BLE001  LangChain raises ValueError, NotImplementedError or pydantic's error
            raise invalid(f"input.{MESSAGES}.{index}", f"cannot be read as a message: {_first_line(error)}") from None
    humans = [message for message in messages if isinstance(message, HumanMessage)]
    if humans and humans[-1].id is None:
        humans[-1].id = task.given.message_id or task.message_id
    for index, message in enumerate(messages):
        message.id = message.id or f"{task.message_id}.{index}"
    last: BaseMessage | None = (humans or messages or [None])[-1]
    return messages, task.message_id if last is None or last.id is None else last.id


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
