"""The messages that a client has after some events of a run. Pure."""

from collections.abc import Container, Iterable
from typing import Any

from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    FunctionCall,
    Message,
    ReasoningMessage,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    ToolCall,
    ToolCallArgsEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    ToolMessage,
)

from .open_parts import VOID, reasoning_id


class Transcript:
    """Reads the events of a run in their order."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        """The pieces of each text, by the id of its message, in the order in which the messages began."""
        self._reasoning: set[str] = set()
        self._void: set[str] = set()
        self._calls: dict[str, list[ToolCall]] = {}
        self._arguments: dict[str, list[str]] = {}
        self._results: dict[str, ToolMessage] = {}

    def take(self, events: Iterable[BaseEvent]) -> None:
        """Read further events."""
        for event in events:
            match event:
                case TextMessageContentEvent():
                    self._texts.setdefault(event.message_id, []).append(event.delta)
                case ReasoningMessageContentEvent():
                    self._reasoning.add(event.message_id)
                    self._texts.setdefault(event.message_id, []).append(event.delta)
                case TextMessageEndEvent() | ReasoningMessageEndEvent() if event.metadata == VOID:
                    self._void.add(event.message_id)
                case ToolCallStartEvent():
                    self._call(event)
                case ToolCallArgsEvent():
                    self._arguments[event.tool_call_id].append(event.delta)
                case ToolCallResultEvent():
                    self._texts[event.message_id] = []
                    self._results[event.message_id] = ToolMessage(
                        id=event.message_id,
                        tool_call_id=event.tool_call_id,
                        content=event.content,
                        metadata=event.metadata,
                    )

    def _call(self, event: ToolCallStartEvent) -> None:
        owner = event.parent_message_id or event.tool_call_id
        self._texts.setdefault(owner, [])
        self._arguments[event.tool_call_id] = []
        call = ToolCall(id=event.tool_call_id, function=FunctionCall(name=event.tool_call_name, arguments=""))
        self._calls.setdefault(owner, []).append(call)

    def messages(self, *, without: Container[str] = ()) -> list[Message]:
        """Return the messages without the texts that are not part of the answer, and without some messages.

        `without` has ids of messages of the agent and of its tools. Their reasoning is left out too.
        """
        left_out = {each for name in self._texts if name in without for each in (name, reasoning_id(name))}
        found = (self._message(name, pieces) for name, pieces in self._texts.items() if name not in left_out)
        return [each for each in found if each is not None]

    def _message(self, name: str, pieces: list[str]) -> Any:
        if name in self._results:
            return self._results[name]
        text = "" if name in self._void else "".join(pieces)
        if name in self._reasoning:
            return ReasoningMessage(id=name, content=text) if text else None
        calls = [
            call.model_copy(
                update={"function": FunctionCall(name=call.function.name, arguments="".join(self._arguments[call.id]))}
            )
            for call in self._calls.get(name, ())
        ]
        return AssistantMessage(id=name, content=text or None, tool_calls=calls or None) if text or calls else None
