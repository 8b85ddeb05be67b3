"""Decides what the `output` of a run is: the graph's output by its output schema, in a form that JSON can hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from .json_output import as_json, output_text
from .state_messages import key_of

MESSAGES = "messages"

STRUCTURED_RESPONSE = "structured_response"
"""The key in which `create_agent` stores the response in its `response_format`."""


class GraphOutput:
    """The output of one run, of at most `max_bytes` as JSON.

    `value` is what the graph has put out last: its state, or what an `@entrypoint` returned.

    `messages` are left out: the answer's text is the result, and the rest of the conversation is in the agent's memory.
    """

    def __init__(self, channels: str | Sequence[str], *, is_continued: bool, max_bytes: int) -> None:
        self.value: Any = None
        self._max_bytes = max_bytes
        self._keys = None if isinstance(channels, str) else channels
        self._written: set[str] = set(self._keys or ()) if is_continued else set()

    def note_written(self, update: Mapping[str, Any]) -> None:
        """Note which keys of the state a node has written."""
        self._written.update(update)

    @property
    def text(self) -> str:
        """Return the text that an `@entrypoint` returned; empty if it returned something else."""
        return self.value if self._keys is None and isinstance(self.value, str) else ""

    def of(self, state: Mapping[str, Any], *, has_text: bool, has_message: bool) -> str | None:
        """Return the structured response, else the output, as JSON; None if the answer's messages say everything.

        `has_text`: the answer has text. `has_message`: the run has a message. Return an empty object if the run wrote
        nothing, neither a message nor a key of the output. Raises OutputTooLarge.
        """
        found = self._of(state, has_text=has_text, has_message=has_message)
        return None if found is None else output_text(found, self._max_bytes)

    def _of(self, state: Mapping[str, Any], *, has_text: bool, has_message: bool) -> object:
        if self._keys is None:
            return self._of_value(has_text=has_text)
        found = {name: state[name] for name in self._keys if name != MESSAGES and name in state}
        if found.get(STRUCTURED_RESPONSE) is not None:
            return as_json(found[STRUCTURED_RESPONSE])
        is_written = any(name in self._written and value is not None for name, value in found.items())
        if is_written or (found and MESSAGES not in state):
            return as_json(found)
        return None if has_text or has_message else {}

    def messages_of(self, state: Mapping[str, Any], before: Collection[str]) -> str:
        """Return this run's messages as its output, for a run without any text. Raises OutputTooLarge."""
        messages = state.get(MESSAGES)
        found = messages if isinstance(messages, list) else []
        own = [as_json(each) for index, each in enumerate(found) if key_of(each, index) not in before]
        return output_text({MESSAGES: own}, self._max_bytes)

    def _of_value(self, *, has_text: bool) -> object:
        value = self.value
        if value is None or value == "":
            return None if has_text else {}
        if isinstance(value, str | BaseMessage) or _is_conversation(value):
            return None
        if isinstance(value, dict) and MESSAGES in value:
            rest = {name: inner for name, inner in value.items() if name != MESSAGES}
            return as_json(rest) if rest else None
        return as_json(value)


def fields_of(value: Any) -> Mapping[str, Any]:
    """Return a state or an `@entrypoint`'s result of any class as fields. Messages are the field `messages`."""
    if isinstance(value, dict):
        return value
    if isinstance(value, BaseMessage):
        return {MESSAGES: [value]}
    if _is_conversation(value):
        return {MESSAGES: value}
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value) if hasattr(value, each.name)}
    return {}


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, BaseMessage) for each in value)
