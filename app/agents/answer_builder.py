"""Turns the stream of a graph into parts, and finds the answer in it. See docs/adr/0034."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Overwrite

from ..models.parts import USAGE, Part
from ..text import storable_json
from .base import MAX_OUTPUT_BYTES, FinalResult
from .joined_text import whole
from .model_calls import ModelCall, ModelCalls
from .outputs import GraphOutput, fields_of
from .shown_events import path_of
from .state_messages import as_messages, goes_on, key_of, keys_of, reasoning_beside, reasoning_in


class AnswerBuilder:
    """Turns one attempt's stream into parts, and finds the answer.

    Text that a model call streams is shown at once, unless the call is internal. Text that a node writes without a
    model call is also shown. The answer is the text of the last message. A later message therefore takes back the text
    of complete messages: a `discard` part makes readers remove it.

    `turn` is the id of the last human message. `before` are the messages up to and including this turn's own messages,
    and `keys` are their keys, if known. `finished` are the messages that earlier attempts added after them. `state` is
    the state in which an earlier attempt ended, None in the first attempt.

    `interrupted` is True if the graph stopped to ask a human. There is no answer then.
    """

    def __init__(
        self,
        turn: str,
        before: Sequence[Any],
        finished: Sequence[Any],
        calls: ModelCalls,
        output_channels: str | Sequence[str] = (),
        state: Mapping[str, Any] | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        keys: Collection[str] | None = None,
    ) -> None:
        self.interrupted = False
        self._turn = turn
        self._calls = calls
        self._finished = finished
        self._start = len(before)
        self._before = keys_of(before) if keys is None else keys
        self._taken: set[str] = set()
        self._tool_calls: set[tuple[str, int]] = set()
        self._state: Mapping[str, Any] = {**(state or {}), "messages": [*before, *finished]}
        self._output = GraphOutput(output_channels, is_continued=state is not None, max_bytes=max_output_bytes)
        self._shown: dict[str, ModelCall] = {}
        """The calls whose text is shown, by the ids under which their messages were shown, oldest first."""
        self._names: dict[str, str] = {}
        """The ids under which messages were shown, by the messages' keys in the state, where they differ."""
        self._unshown: dict[str, str | None] = {}
        """Messages without shown text that may still be the answer: their nodes by their ids."""
        self._repeated: AIMessage | None = None
        self._nodes: dict[tuple[str, str], str] = {}
        self._node: str | None = None
        self._path: tuple[str, ...] = ()

    def replay(self) -> Iterator[Part]:
        """Yield the parts of the steps that earlier attempts finished."""
        for index, finished in enumerate(self._finished, self._start):
            for message in as_messages(finished):
                yield from self._take(message, key_of(finished, index), None)

    def read(self, streamed: Any) -> Iterable[Part]:
        """Return the parts of one item of the graph's stream."""
        data = streamed["data"]
        match streamed["type"]:
            case "messages":
                return self._piece(*data)
            case "updates":
                return self._update(data, streamed["ns"])
            case "values":
                return self._values(data, streamed["ns"])
            case _:
                return ()

    def finish(self) -> Iterator[Part | FinalResult]:
        """Take back shown text that is not the answer, show the rest of the answer, and yield the FinalResult."""
        yield from self._take_back_failed()
        key, text = self._last_answer()
        is_said = bool(self._repeated or self._last_message()[1])
        output = self._output.of(self._state, has_text=bool(text), has_message=is_said)
        call = self._shown_as(key) if key else self._shown_with(text)
        if not text:
            call, key, text = self._other_answer(output)
        if not text and output is None:
            output = self._output.messages_of(self._state, self._before)
        if call is not None and call.text != text:
            call = None
        for other in [each for each in self._shown.values() if each is not call]:
            yield from self._take_back(other)
        if call is None and text:
            yield Part("content", text, key, self._unshown.get(key or ""))
        yield FinalResult(text, output)

    # Pieces of model calls

    def _piece(self, message: BaseMessage, metadata: Mapping[str, Any]) -> Iterable[Part]:
        """Return the parts for one item of a model call's stream. Most items continue a text, on a fast path."""
        if (call := self._calls.of(metadata)) is None or not isinstance(message, AIMessage):
            return ()
        content = message.content
        if call.texts and isinstance(content, str) and content and not message.additional_kwargs and goes_on(message):
            if not (text := call.content.add(content)):
                return ()
            call.texts.append(text)
            return (Part("content", text, call.message, call.node, call.path),)
        return self._any_piece(message, call)

    def _any_piece(self, message: AIMessage, call: ModelCall) -> Iterator[Part]:
        if call.message is None:
            call.message = message.id or ""
            yield from self._take_back_failed(call)
        content = message.content
        if isinstance(content, str):
            text, reasoning = content, reasoning_beside(message)
        else:
            text, reasoning = str(message.text), reasoning_in(message)
        text, reasoning = call.content.add(text), call.reasoning.add(reasoning)
        if not goes_on(message):
            call.ended = True
            text += call.content.end()
            reasoning += call.reasoning.end()
        if reasoning:
            self._shown.setdefault(call.message, call)
            yield Part("reasoning", reasoning, call.message, call.node, call.path)
        if text:
            if not call.texts:
                yield from self._take_back_complete(call)
            call.texts.append(text)
            yield Part("content", text, call.message, call.node, call.path)
        if call.ended and call.message not in self._shown:
            self._calls.forget(call)

    def _take_back_complete(self, call: ModelCall) -> Iterator[Part]:
        """Take back from the answer the text of finished model calls, because the text of `call` replaces it.

        Keep the text of a parallel branch that still runs.
        """
        for other in list(self._shown.values()):
            if other.texts and other.ended and (other.settled or other.namespace == call.namespace):
                self._unshown[other.message or ""] = other.node
                yield from self._take_back(other)
        self._shown[call.message or ""] = call

    def _take_back(self, call: ModelCall) -> Iterator[Part]:
        message = call.message or ""
        if self._shown.get(message) is call:
            del self._shown[message]
            self._calls.forget(call)
            if call.texts or not call.kept:
                yield Part("discard", call.kept, message, call.node, call.path)

    def _take_back_failed(self, but: ModelCall | None = None) -> Iterator[Part]:
        for call in list(self._shown.values()):
            if call.failed and call is not but:
                yield from self._take_back(call)

    def _settle(self, namespace: Sequence[str], node: str | None = None) -> None:
        """Set `settled` for finished model calls whose node's tasks have ended; if `node` is None, for all nodes."""
        begin = "|".join([*namespace, "" if node is None else f"{node}:"])
        for call in self._shown.values():
            if call.ended and call.namespace.startswith(begin):
                call.settled = True

    # Messages of the conversation

    def _update(self, data: Mapping[str, Any], namespace: Sequence[str]) -> Iterator[Part]:
        """Yield the parts of the messages in an update: the values that nodes wrote in a step, by node.

        Skip messages without ids. They are read from the state later. USAGE comes behind all text of the step.
        """
        if "__interrupt__" in data:
            self.interrupted = True
            return
        self._path = path_of(namespace)
        yield from self._take_back_failed()
        for node, node_update in data.items():
            for update in node_update if isinstance(node_update, list) else [node_update]:
                if isinstance(update, dict):
                    if not namespace:
                        self._output.note_written(update)
                    if "messages" in update:
                        yield from self._messages_of_update(update["messages"], node, namespace)
            self._settle(namespace, node)
        if self._calls.has_usage:
            yield USAGE

    def _messages_of_update(self, written: Any, node: str, namespace: Sequence[str]) -> Iterator[Part]:
        self._node = node
        is_whole = isinstance(written, Overwrite)
        messages = as_messages(written.value if isinstance(written, Overwrite) else written)
        shows = not self._is_internal(namespace, node)
        for message in messages:
            if not message.id:
                self._nodes[message.type, str(message.text)] = node
            else:
                yield from self._take(message, message.id, node, shows=shows)
        yield from self._take_back_removed(messages, is_whole=is_whole)
        if not namespace and not is_whole:
            self._note_repeated(messages, node)

    def _take_back_removed(self, written: Sequence[BaseMessage], *, is_whole: bool) -> Iterator[Part]:
        """Take back the shown text of messages that a node removed from the conversation.

        `written` are the messages that the node wrote. If `is_whole`, they replace the whole conversation. `finish`
        shows the answer's text again if necessary.
        """
        removed = {message.id or "" for message in written if isinstance(message, RemoveMessage)}
        if not removed and not is_whole:
            return
        removes_all = is_whole or REMOVE_ALL_MESSAGES in removed
        going = {self._names.get(each, each) for each in removed}
        staying = {self._names.get(each.id, each.id) for each in written if each.id and isinstance(each, AIMessage)}
        for name, call in list(self._shown.items()):
            if call.kept and (name in going or (removes_all and name not in staying)):
                call.kept = False
                self._unshown[name] = call.node
                yield from self._take_back(call)

    def _note_repeated(self, messages: Sequence[BaseMessage], node: str) -> None:
        """Note an answer that the conversation already had, such as the same greeting in each turn.

        Ignore nodes that rewrite the conversation or hold a subgraph: they also write older messages.
        """
        if any(isinstance(message, RemoveMessage) or message.id == self._turn for message in messages):
            return
        for message in messages:
            if isinstance(message, AIMessage) and message.id in self._before and message.text:
                self._repeated = message
                self._unshown[message.id or ""] = node

    def _values(self, data: Any, namespace: Sequence[str]) -> Iterator[Part]:
        """Yield the parts of new messages at the end of the state, such as messages that nodes wrote as dicts."""
        self._path = path_of(namespace)
        yield from self._take_back_failed()
        state = fields_of(data)
        messages = state.get("messages")
        if not namespace:
            self._state = state
            self._output.value = data
            self._settle(())
        if not isinstance(messages, list):
            return
        start = len(messages)
        while start and self._is_new(messages[start - 1], start - 1, namespace):
            start -= 1
        for index in range(start, len(messages)):
            for message in as_messages(messages[index]):
                node = self._nodes.pop((message.type, str(message.text)), self._node)
                shows = not self._is_internal(namespace, node or "")
                yield from self._take(message, key_of(messages[index], index), node, shows=shows)

    def _is_new(self, message: Any, index: int, namespace: Sequence[str]) -> bool:
        has_id = isinstance(message, BaseMessage) and message.id
        return (bool(has_id) or not namespace) and not self._is_seen(key_of(message, index))

    def _is_seen(self, key: str) -> bool:
        return key in self._taken or key in self._before

    def _is_internal(self, namespace: Sequence[str], node: str) -> bool:
        """Return whether a node of a subgraph runs inside a tool or middleware."""
        return bool(namespace) and self._calls.is_internal("|".join([*namespace, node]))

    def _take(self, message: BaseMessage, key: str, node: str | None, *, shows: bool = True) -> Iterator[Part]:
        """Yield the parts of one message of the conversation that were not shown yet.

        `key` is the message's key in the state, and `node` wrote the message; None if unknown. Without `shows`, yield
        no text of AI messages, because they are internal.
        """
        if isinstance(message, AIMessage):
            if key not in self._before:
                yield from self._take_answer(message, key, node) if shows else ()
                yield from self._take_calls(message, key, node)
        elif isinstance(message, ToolMessage) and not self._is_seen(key):
            result = {"id": message.tool_call_id, "name": message.name, "content": whole(str(message.text))}
            yield Part("tool_result", {**result, "status": message.status}, key, node, self._path)
            self._unshown[key] = node
        elif not self._is_seen(key) and (call := self._shown_before(whole(str(message.text)), key)) is not None:
            call.kept = call.settled = True  # a node copied the model's text into another author's message
        self._taken.add(key)

    def _take_answer(self, message: AIMessage, key: str, node: str | None) -> Iterator[Part]:
        text = whole(str(message.text))
        shown = self._shown_as(key)
        if shown is None and (self._is_seen(key) or key in self._unshown):
            return
        if shown is None and text:
            shown = self._shown_before(text, key)
        if shown is not None and shown.text == text:
            shown.kept = shown.ended = shown.settled = True
            return
        if shown is not None:
            yield from self._take_back(shown)
        yield from self._show(message, text, key, node)

    def _shown_as(self, key: str) -> ModelCall | None:
        return self._shown.get(self._names.get(key, key))

    def _shown_with(self, text: str) -> ModelCall | None:
        """Return the call that has shown this text, for an answer that is no message of the conversation."""
        return next((call for call in self._shown.values() if call.ended and call.text == text), None)

    def _shown_before(self, text: str, key: str) -> ModelCall | None:
        """Return the call whose text the message with this key copies; None if there is no such call.

        Note that the call's text stands for this message.
        """
        for name, call in self._shown.items():
            if not call.kept and call.ended and call.text == text:
                self._names[key] = name
                return call
        return None

    def _show(self, message: AIMessage, text: str, key: str, node: str | None) -> Iterator[Part]:
        """Yield the parts of a message that no model call streamed, and take back the text that it replaces."""
        call = ModelCall(node, {})
        call.path = self._path
        call.message = key
        call.kept = call.ended = call.settled = True
        reasoning = reasoning_beside(message) if isinstance(message.content, str) else reasoning_in(message)
        if reasoning:
            yield Part("reasoning", whole(reasoning), key, node, call.path)
        if text:
            yield from self._take_back_complete(call)
            call.texts.append(text)
            yield Part("content", text, key, node, call.path)

    def _take_calls(self, message: AIMessage, key: str, node: str | None) -> Iterator[Part]:
        """Yield the new tool calls of a message.

        Identify a call by its position in the message, since providers may repeat or omit ids.
        """
        for place, call in enumerate(message.tool_calls):
            if (key, place) not in self._tool_calls:
                self._tool_calls.add((key, place))
                yield Part(
                    "tool_call",
                    {"id": call["id"], "name": call["name"], "args": storable_json(call["args"])},
                    key,
                    node,
                    self._path,
                )

    # The end

    def _last_answer(self) -> tuple[str | None, str]:
        """Return the key and the text of this turn's last answer with text; None and an empty text if there is none.

        AI messages are answers, and so are results of tools with `return_direct`.
        """
        messages = self._state.get("messages")
        if isinstance(messages, list):
            for index in range(len(messages) - 1, -1, -1):
                key = key_of(messages[index], index)
                if key not in self._before:
                    for message in as_messages(messages[index]):
                        if self._answers(message) and message.text:
                            return key, whole(str(message.text))
        return None, whole(self._output.text)

    def _answers(self, message: BaseMessage) -> bool:
        is_result = isinstance(message, ToolMessage) and message.status == "success"
        return isinstance(message, AIMessage) or (is_result and message.name in self._calls.direct_tools)

    def _other_answer(self, output: str | None) -> tuple[ModelCall | None, str | None, str]:
        """Return call, key and text of the answer if no message of this turn is an answer with text.

        The answer is the first of these that exists: the shown text of the last model call, a repeated message, the
        output, the last tool result. `output` is JSON; None if the run has none.
        """
        if shown := [call for call in self._shown.values() if call.ended and call.texts]:
            return shown[-1], shown[-1].message, shown[-1].text
        if self._repeated is not None:
            return None, self._repeated.id, whole(str(self._repeated.text))
        if output is not None:
            found = json.loads(output)
            return None, None, found if isinstance(found, str) else output
        key, last = self._last_message()
        if isinstance(last, ToolMessage):
            return None, key, whole(str(last.text))
        return None, None, ""

    def _last_message(self) -> tuple[str | None, BaseMessage | None]:
        """Return the last message of this turn with its key; None for both if the turn has none."""
        messages = self._state.get("messages")
        if isinstance(messages, list) and messages:
            key = key_of(messages[-1], len(messages) - 1)
            if key not in self._before and key != self._turn:
                return key, next(iter(as_messages(messages[-1])), None)
        return None, None
