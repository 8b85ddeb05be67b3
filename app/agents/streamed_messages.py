"""Keeps LangGraph from walking a whole conversation at each node in the stream mode `messages`.

LangGraph's handler notes the ids of all messages that a node is given, since it must not stream them again. Here it is
given only the messages that it has not noted.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage
from langgraph.pregel._messages import StreamMessagesHandler

from .message_index import CHECKED, ID, INDEX, KnownMessages

NOTED = "_noted_lists"
"""The attribute of a handler with the lists that it has noted, by the names of their channels."""


def note_only_new_messages() -> None:
    """Change LangGraph's handler for all graphs of the process. A second call does nothing."""
    original = StreamMessagesHandler.on_chain_start
    if not hasattr(original, NOTED):
        StreamMessagesHandler.on_chain_start = _noting_only_new(original)  # type: ignore[method-assign]  # see above


def _noting_only_new(original: Callable[..., Any]) -> Any:
    def on_chain_start(
        self: StreamMessagesHandler, serialized: dict[str, Any], inputs: Any, *, run_id: UUID, **kwargs: Any
    ) -> Any:
        lists: dict[str, list[Any]] = {}
        if isinstance(inputs, dict):
            lists = {name: value for name, value in inputs.items() if type(value) is list}
            inputs = {name: value for name, value in inputs.items() if name not in lists}
        result = original(self, serialized, inputs, run_id=run_id, **kwargs)
        if run_id in self.metadata:  # LangGraph notes what it gives to nodes only
            for name, value in lists.items():
                _note(self, name, value)
        return result

    setattr(on_chain_start, NOTED, True)
    return on_chain_start


def _note(handler: StreamMessagesHandler, name: str, messages: list[Any]) -> None:
    """Note the ids of the messages in a list.

    The newest ones that are noted already are looked at again: a node may have changed their ids in place.
    """
    noted: dict[str, KnownMessages] = handler.__dict__.setdefault(NOTED, {})
    known = noted.setdefault(name, KnownMessages())
    size = len(known.messages)
    if not size or not known.starts(messages):
        size, known = 0, KnownMessages()
        known.starts(messages)
        noted[name] = known
        index = INDEX.get()
        if index is not None and index.add_ids(messages, handler.seen):
            return
    new = messages[max(size - CHECKED, 0) :]
    if not all(issubclass(kind, BaseMessage) for kind in set(map(type, new))):
        del noted[name]
        new = [each for each in new if isinstance(each, BaseMessage)]
    handler.seen.update(each for each in map(ID, new) if each is not None)
