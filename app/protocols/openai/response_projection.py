"""Makes the events of a response from the stored events of its run. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from rpds import HashTrieMap

from ...models.events import Event, EventType
from ..growing_texts import GrowingText, grown
from .ids import RESPONSE
from .json_texts import JsonText, list_of, object_of
from .output_items import (
    call_item,
    message_item,
    question_item,
    reasoning_item,
    reasoning_part,
    result_fields,
    text_part,
)
from .token_counts import TokenCounts

Frame = tuple[str, dict[str, Any]]
"""The type of an event, and its other fields without the sequence number."""

BEFORE_ALL = -1
"""Stands for the number before the first event."""

TEXT, REASONING, CALL = "text", "reasoning", "call"

ITEM_PREFIXES = {TEXT: "msg_", REASONING: "rs_", CALL: "mcp_"}


class ToolCall(NamedTuple):
    """The call of a tool. `arguments` is JSON."""

    name: str
    arguments: str


class OpenItem(NamedTuple):
    """An item that is not finished yet. `place` is its `output_index`."""

    place: int
    id: str
    message: str
    text: GrowingText = ()
    call: ToolCall = ToolCall("", "{}")


class ClosedItem(NamedTuple):
    """A finished item as JSON. `message` is the id of the agent's message, and `before` the item finished before."""

    place: int
    kind: str
    message: str
    item: JsonText
    before: "ClosedItem | None" = None


Key = tuple[str, str]
"""The kind of an item, and the id of its message or call."""


class ResponseView(NamedTuple):
    """The response that readers see. `begun` has the fields that never change."""

    response_id: str
    message_id: str
    agent: str
    begun: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """Return the id of the response's run."""
        return self.response_id.removeprefix(RESPONSE)


class Progress(NamedTuple):
    """The state on which later events of a response depend. It is never changed, so that readers can share it.

    `sequence` is the number of the next event, and `places` the number of items so far. `closed` is the last finished
    item of the attempt. `gone` has, by the keys of texts that are no answer, the place from which on they count again.
    `used` counts the items by the beginnings of their ids. `earlier` has the ids of messages that runs before this one
    showed, and `calls` the calls of tools by their ids. `final` is the response at its end, as JSON; None before.
    """

    sequence: int = 0
    places: int = 0
    open: "HashTrieMap[Key, OpenItem]" = HashTrieMap()
    closed: ClosedItem | None = None
    gone: "HashTrieMap[Key, int]" = HashTrieMap()
    used: "HashTrieMap[str, int]" = HashTrieMap()
    tokens: TokenCounts | None = None
    earlier: frozenset[str] = frozenset()
    calls: "HashTrieMap[str, ToolCall]" = HashTrieMap()
    final: JsonText | None = None


def opening(view: ResponseView, progress: Progress, after: int) -> tuple[bytes, Progress]:
    """Return the events before all stored ones, and the progress after them."""
    queued = response_json(view, "queued")
    frames = [("response.created", {"response": queued}), ("response.queued", {"response": queued})]
    return _written(frames, progress.sequence, after), progress._replace(sequence=progress.sequence + len(frames))


def frames_of(
    view: ResponseView, progress: Progress, events: Sequence[Event], after: int = BEFORE_ALL
) -> tuple[bytes, Progress]:
    """Return the events behind the number `after` that consecutive stored events give, and the progress after them.

    The stored events begin where the progress ends. Those behind the end of the run give nothing.
    """
    written: list[bytes] = []
    for event in events:
        if progress.final is not None:
            break
        step = _Step(view, progress)
        step.take(event.type, json.loads(event.data))
        written.append(_written(step.frames, progress.sequence, after))
        progress = step.progress()
    return b"".join(written), progress


def finished_items(frames: bytes) -> Iterator[dict[str, Any]]:
    """Yield the items that are finished in the events of a response, those too that its output leaves out."""
    for frame in frames.decode("ascii").split("\n\n"):
        if frame.startswith("event: response.output_item.done\n"):
            yield json.loads(frame.partition("data: ")[2])["item"]


def shown_before(events: Sequence[Event], progress: Progress) -> Progress:
    """Return the progress at the beginning of a run that goes on after these events of earlier runs."""
    earlier, calls = set(progress.earlier), progress.calls
    for event in events:
        if event.type is EventType.CHUNK:
            data = json.loads(event.data)
            earlier.add(data.get("message", ""))
            if data["type"] == "tool_call":
                calls = calls.insert(str(data["chunk"]["id"]), _called(data["chunk"]))
    return progress._replace(earlier=frozenset(earlier - {""}), calls=calls)


def response_json(view: ResponseView, status: str, output: Iterable[JsonText] = (), **fields: Any) -> JsonText:
    """Return a response as JSON. What the fields do not give is as before its end."""
    ended = {"completed_at": None, "error": None, "incomplete_details": None, "usage": None, **fields}
    return object_of({**view.begun, "status": status, **ended, "output": list_of(output)})


def _written(frames: Sequence[Frame], sequence: int, after: int) -> bytes:
    """Return the frames behind the number `after` as server-sent events. The first one has the number `sequence`."""
    found = []
    for number, (kind, fields) in enumerate(frames, sequence):
        if number > after:
            data = object_of({"type": kind, **fields, "sequence_number": number})
            found.append(f"event: {kind}\ndata: {data}\n\n")
    return "".join(found).encode("ascii")


def _called(chunk: Mapping[str, Any]) -> ToolCall:
    return ToolCall(str(chunk["name"]), json.dumps(chunk["args"]))


class _Step:
    """Takes one stored event. Collects its frames and changes a copy of the progress."""

    def __init__(self, view: ResponseView, progress: Progress) -> None:
        self.frames: list[Frame] = []
        self._view = view
        self._before = progress
        self._count = progress.places
        self._open = progress.open
        self._closed = progress.closed
        self._gone = progress.gone
        self._used = progress.used
        self._tokens = progress.tokens
        self._calls = progress.calls
        self._final = progress.final

    def progress(self) -> Progress:
        """Return the progress after the event."""
        return self._before._replace(
            sequence=self._before.sequence + len(self.frames),
            places=self._count,
            open=self._open,
            closed=self._closed,
            gone=self._gone,
            used=self._used,
            tokens=self._tokens,
            calls=self._calls,
            final=self._final,
        )

    def take(self, kind: EventType, data: Mapping[str, Any]) -> None:
        """Take the event."""
        match kind:
            case EventType.PROCESSING:
                self._tell("in_progress", response_json(self._view, "in_progress"))
            case EventType.CHUNK:
                self._take_chunk(data)
            case EventType.USAGE:
                self._tokens = (self._tokens or TokenCounts()).plus(data["models"])
            case EventType.RETRY:
                self._close_all("incomplete")
                self._closed = None
                self._tell("queued", response_json(self._view, "queued"))
            case EventType.INTERRUPTED:
                self._close_all("incomplete", texts="completed")
                for question in data["interrupts"]:
                    self._ask(question)
                self._end("completed", "completed")
            case EventType.DONE:
                self._answer(data)
                self._end("completed", "completed", completed_at=_seconds(data))
            case EventType.ERROR:
                self._close_all("incomplete")
                code = "rate_limit_exceeded" if data["code"] == "rate_limited" else "server_error"
                self._end("failed", "failed", error={"code": code, "message": data["error"], "type": data["code"]})
            case EventType.CANCELLED:
                self._close_all("incomplete")
                self._end("incomplete", "cancelled")

    def _tell(self, event: str, response: JsonText) -> None:
        self.frames.append((f"response.{event}", {"response": response}))

    def _end(self, event: str, status: str, **fields: Any) -> None:
        output = [each.item for each in sorted(self._left(), key=attrgetter("place"))]
        usage = None if self._tokens is None else self._tokens.of_response()
        self._final = response_json(self._view, status, output, usage=usage, **fields)
        self._tell(event, self._final)

    # Pieces

    def _take_chunk(self, data: Mapping[str, Any]) -> None:
        message, chunk = data.get("message") or "", data["chunk"]
        if message in self._before.earlier:
            return
        match data["type"]:
            case "content":
                self._close((REASONING, message))
                self._add_piece(TEXT, message, chunk)
            case "reasoning":
                self._add_piece(REASONING, message, chunk)
            case "tool_call":
                self._close((REASONING, message))
                self._close((TEXT, message))
                self._begin_call(message, str(chunk["id"]), _called(chunk))
            case "tool_result":
                self._finish_call(message, str(chunk["id"]), chunk)
            case "discard":
                self._take_back(message, is_kept=bool(data.get("kept")))

    def _add_piece(self, kind: str, message: str, piece: str) -> None:
        item = self._open.get((kind, message)) or self._begin_text(kind, message)
        self._open = self._open.insert((kind, message), item._replace(text=grown(item.text, piece)))
        self._part(item, f"{_NAMES[kind]}.delta", delta=piece, **_LOGPROBS[kind])

    def _begin_text(self, kind: str, message: str) -> OpenItem:
        item = OpenItem(self._count, self._new_id(kind, message), message)
        shown = message_item(item.id, None, "in_progress") if kind == TEXT else None
        self._added(shown or reasoning_item(item.id, None, "in_progress"))
        self._part(item, "content_part.added", part=text_part("") if kind == TEXT else reasoning_part(""))
        return item

    def _begin_call(self, message: str, call_id: str, call: ToolCall) -> None:
        self._close((CALL, call_id), status="incomplete")  # some models use an id again
        item = OpenItem(self._count, self._new_id(CALL, call_id), message, call=call)
        self._calls = self._calls.insert(call_id, call)
        self._open = self._open.insert((CALL, call_id), item)
        self._added(call_item(item.id, self._view.agent, call.name, "", "in_progress"))
        at = {"item_id": item.id, "output_index": item.place}
        self.frames.append(("response.mcp_call.in_progress", at))
        self.frames.append(("response.mcp_call_arguments.delta", {**at, "delta": call.arguments}))
        self.frames.append(("response.mcp_call_arguments.done", {**at, "arguments": call.arguments}))

    def _finish_call(self, message: str, call_id: str, result: Mapping[str, Any]) -> None:
        """Finish a call. A call that an earlier run began is shown again, since its result belongs to this one."""
        if (CALL, call_id) not in self._open:
            self._begin_call(message, call_id, self._calls.get(call_id) or ToolCall(str(result["name"]), "{}"))
        item = self._open[CALL, call_id]
        fields = result_fields(result)
        at = {"item_id": item.id, "output_index": item.place}
        self.frames.append((f"response.mcp_call.{fields['status']}", at))
        self._close((CALL, call_id), fields)

    def _take_back(self, message: str, *, is_kept: bool) -> None:
        """Finish the text of a message that is not the answer, and leave it out of the response's output."""
        self._close((REASONING, message), status="completed" if is_kept else "incomplete")
        self._close((TEXT, message), status="completed" if is_kept else "incomplete", phase="commentary")
        for kind in (TEXT,) if is_kept else (TEXT, REASONING):
            self._gone = self._gone.insert((kind, message), self._count)

    def _left(self) -> Iterator[ClosedItem]:
        """Yield the finished items of the response's output, the last one first."""
        item = self._closed
        while item is not None:
            if item.kind == CALL or item.place >= self._gone.get((item.kind, item.message), 0):
                yield item
            item = item.before

    # Ends

    def _answer(self, data: Mapping[str, Any]) -> None:
        """Finish all items. Show the result as a message if no text of the run is left, such as without its log."""
        self._close_all("incomplete", texts="completed")
        if data["result"] and not any(each.kind == TEXT for each in self._left()):
            self._add_piece(TEXT, "", data["result"])
            self._close_all("completed")

    def _ask(self, question: Mapping[str, Any]) -> None:
        index = self._count
        view = self._view
        begun, asked = (
            question_item(view.run_id, view.message_id, question, status) for status in ("in_progress", "completed")
        )
        self._added(begun)
        at = {"item_id": begun["id"], "output_index": index}
        self.frames.append(("response.function_call_arguments.delta", {**at, "delta": asked["arguments"]}))
        done = {**at, "name": asked["name"], "arguments": asked["arguments"]}
        self.frames.append(("response.function_call_arguments.done", done))
        self._done(index, CALL, "", asked)

    def _close_all(self, status: str, texts: str | None = None) -> None:
        """Finish all open items, oldest first. `texts` is the status of texts; None means `status`."""
        for key in sorted(self._open, key=lambda each: self._open[each].place):
            self._close(key, status=status if key[0] == CALL else texts or status)

    def _close(
        self, key: Key, fields: Mapping[str, Any] | None = None, *, status: str = "completed", phase: str | None = None
    ) -> None:
        """Finish an item if it is open."""
        item = self._open.get(key)
        if item is None:
            return
        self._open = self._open.discard(key)
        kind = key[0]
        if kind == CALL:
            shown = call_item(item.id, self._view.agent, *item.call, status)
            self._done(item.place, kind, item.message, {**shown, **(fields or {})})
            return
        text = "".join(item.text)
        whole = message_item(item.id, text, status, phase) if kind == TEXT else reasoning_item(item.id, text, status)
        self._part(item, f"{_NAMES[kind]}.done", text=text, **_LOGPROBS[kind])
        self._part(item, "content_part.done", part=whole["content"][0])
        self._done(item.place, kind, item.message, whole)

    # Frames

    def _added(self, item: Mapping[str, Any]) -> None:
        self.frames.append(("response.output_item.added", {"output_index": self._count, "item": item}))
        self._count += 1

    def _done(self, place: int, kind: str, message: str, item: Mapping[str, Any]) -> None:
        self._closed = ClosedItem(place, kind, message, object_of(item), self._closed)
        self.frames.append(("response.output_item.done", {"output_index": place, "item": self._closed.item}))

    def _part(self, item: OpenItem, event: str, **fields: Any) -> None:
        at = {"item_id": item.id, "output_index": item.place, "content_index": 0}
        self.frames.append((f"response.{event}", {**at, **fields}))

    def _new_id(self, kind: str, name: str) -> str:
        """Return the id of a new item. Items of one message or call, such as of two attempts, have different ids."""
        base = ITEM_PREFIXES[kind] + self._view.run_id + (f"_{name}" if name else "")
        before = self._used.get(base, 0)
        self._used = self._used.insert(base, before + 1)
        return base if not before else f"{base}_{before + 1}"


_NAMES = {TEXT: "output_text", REASONING: "reasoning_text"}
_LOGPROBS: Mapping[str, Mapping[str, Any]] = {TEXT: {"logprobs": []}, REASONING: {}}


def _seconds(data: Mapping[str, Any]) -> int | None:
    told = data.get("completed_at")
    return None if told is None else int(datetime.fromisoformat(told).timestamp())
