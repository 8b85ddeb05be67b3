"""Converts the values of states to JSON."""

from typing import Any

from langchain_core.messages import BaseMessage

from .json_output import as_json


class StateJson:
    """Converts the states of one conversation, which share most of their messages. Each message is converted once."""

    def __init__(self) -> None:
        self._converted: dict[int, tuple[BaseMessage, object]] = {}
        """Messages by identity. The messages are kept, so that no other object gets the identity of one."""

    def values(self, values: Any) -> object:
        """Return what `as_json` returns for the values of a state."""
        if type(values) is not dict or not _has_plain_keys(values):
            return as_json(values)
        return {
            key: [self._message(each) for each in value] if _has_messages(value) else as_json(value)
            for key, value in values.items()
        }

    def _message(self, message: BaseMessage) -> object:
        known = self._converted.get(id(message))
        if known is None:
            known = self._converted[id(message)] = message, as_json(message)
        return known[1]


def _has_plain_keys(values: dict[Any, Any]) -> bool:
    """Return whether the keys are the same in JSON. The output of a graph without channels may have any keys."""
    found = as_json(dict.fromkeys(values))
    return isinstance(found, dict) and found.keys() == values.keys()


def _has_messages(value: object) -> bool:
    """Return whether a value is a list of messages. `isinstance` would run code of other objects."""
    return type(value) is list and bool(value) and all(issubclass(type(each), BaseMessage) for each in value)
