"""Makes the AI SDK's UI message stream from the stored events of a message. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rpds import HashTrieMap

from ...models.events import Event, EventType
from ..shown_calls import NO_CALLS, Calls, with_answer, with_call
from ..shown_messages import ShownMessages, with_piece
from .open_parts import NO_PARTS, Chunk, OpenParts
from .questions import QUESTION_TOOL, question_input

_COUNTS = {"inputTokens": "input_tokens", "outputTokens": "output_tokens", "totalTokens": "total_tokens"}
"""The counts in a message's metadata, and their names in the event `usage`."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))

DONE = b"data: [DONE]\n\n"


class ChatView(NamedTuple):
    """The message that a page reads, and the part of its log that belongs to the present request.

    The part begins at `first_event`; 0 is the beginning. With `whole`, the page gets the parts before it too, and the
    answers to their questions.
    """

    message_id: str
    first_event: int = 0
    whole: bool = True


class Progress(NamedTuple):
    """The state on which later frames depend. It is never changed, so that readers can share it.

    `messages` has the messages that attempts showed: a later attempt shows finished steps again. `doubtful` has the ids
    of those whose texts were open at a retry, until it is known whether the next attempt shows them again; None without
    a retry. `calls` has the newest tool calls by the agent's ids. `questions` has the ids of the last questions.
    `usage` has the tokens of all model calls so far. `ended` says that the request has no further events.
    """

    attempt: int = 0
    parts: OpenParts = NO_PARTS
    messages: ShownMessages = HashTrieMap()
    doubtful: frozenset[str] | None = None
    calls: Calls = NO_CALLS
    questions: tuple[str, ...] = ()
    usage: Mapping[str, int] | None = None
    ended: bool = False


def frame_of(chunk: Chunk) -> bytes:
    """Return a chunk as a server-sent event."""
    return f"data: {_ENCODER.encode(chunk)}\n\n".encode("ascii")


def start_of(view: ChatView) -> bytes:
    """Return the frame with which each stream begins."""
    return frame_of({"type": "start", "messageId": view.message_id})


def frames_of(view: ChatView, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
    """Return the frames that consecutive events give, and the progress after the events.

    The events begin where the progress ends. Those behind the end of the request give nothing.
    """
    written: list[bytes] = []
    for event in events:
        if progress.ended:
            break
        chunks, progress = _project(view, progress, event)
        written += map(frame_of, chunks)
        if progress.ended:
            written.append(DONE)
    return b"".join(written), progress


def _project(view: ChatView, progress: Progress, event: Event) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of one event, and the progress after it."""
    data = json.loads(event.data)
    chunks: Sequence[Chunk] = ()
    match event.type:
        case EventType.PROCESSING:
            progress = progress._replace(attempt=progress.attempt + 1)
        case EventType.CHUNK:
            chunks, progress = _piece(progress, event.id, data)
        case EventType.CUSTOM if "omitted" not in data:  # else too large to be stored
            chunks = [{"type": "data-custom", "data": data["data"], "transient": True}]
        case EventType.USAGE:
            progress = progress._replace(usage=_added(progress.usage or {}, data["models"]))
        case EventType.RETRY:
            chunks, progress = _retry(progress, event.id, data)
        case EventType.INTERRUPTED:
            chunks, progress = _ask(view, progress, event.id, data)
        case EventType.RESUMED:
            chunks, progress = _answered(view, progress, data["answers"])
        case EventType.DONE | EventType.ERROR | EventType.CANCELLED:
            chunks, progress = _end(progress, event.type, data)
    return chunks, progress


def _piece(progress: Progress, event_id: int, data: Mapping[str, Any]) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of a piece of the answer. What an earlier attempt showed is not shown again."""
    name = data.get("message") or f"attempt-{progress.attempt}"
    if data["type"] == "discard":
        return _discard(progress, name, is_void=not data.get("kept", False))
    before = progress.messages.get(name)
    pieces, message, messages = with_piece(progress.messages, progress.attempt, name, data["type"], data["chunk"])
    progress = progress._replace(messages=messages)
    chunks: list[Chunk] = []
    if message.is_repeated:
        progress = _undoubted(progress, message.id)
    else:
        if before is not None and before.id != message.id:  # it says something else than before
            ended, parts = progress.parts.without(before.id, is_void=True)
            chunks, progress = [*ended], progress._replace(parts=parts)
        settled, progress = _settled(progress)
        chunks += settled
    for kind, piece in pieces:
        made, progress = _new_piece(progress, event_id, message.id, kind, piece)
        chunks += made
    return chunks, progress


def _discard(progress: Progress, name: str, *, is_void: bool) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks that finish the texts of a message that is not the answer."""
    message = progress.messages.get(name)
    if message is None or (message.attempt == progress.attempt and not message.is_repeated):
        settled, progress = _settled(progress)
    else:
        settled, progress = [], _undoubted(progress, message.id)
    ended, parts = progress.parts.without(name if message is None else message.id, is_void=is_void)
    return [*settled, *ended], progress._replace(parts=parts)


def _new_piece(
    progress: Progress, event_id: int, message: str, kind: str, piece: Any
) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of a piece that no attempt showed before."""
    if kind == "tool_call":
        shown_id, calls = with_call(progress.calls, event_id, message, piece.get("id") or "")
        chunks, parts = progress.parts.with_call(message)
        chunks = [*chunks, _call(shown_id, piece["name"], piece["args"])]
        return chunks, progress._replace(parts=parts, calls=calls)
    if kind == "tool_result":
        chunks, parts = progress.parts.with_result()
        progress = progress._replace(parts=parts)
        found, calls = with_answer(progress.calls, piece.get("id") or "")
        progress = progress._replace(calls=calls)
        if found is not None:
            return [*chunks, _result(found, piece)], progress
        shown_id, calls = with_call(progress.calls, event_id, message, piece.get("id") or "")
        called = _call(shown_id, piece.get("name") or "tool", {})
        return [*chunks, called, _result(shown_id, piece)], progress._replace(calls=calls)
    chunks, parts = progress.parts.with_text(message, kind, piece)
    return chunks, progress._replace(parts=parts)


def _undoubted(progress: Progress, message: str) -> Progress:
    """Note that the present attempt has a message of an earlier one."""
    return progress if progress.doubtful is None else progress._replace(doubtful=progress.doubtful - {message})


def _settled(progress: Progress) -> tuple[Sequence[Chunk], Progress]:
    """Finish the step that a retry broke off. Texts that the present attempt does not have are marked."""
    if progress.doubtful is None:
        return [], progress
    chunks, parts = progress.parts.closed(void=progress.doubtful)
    finished, parts = parts.step_finished()
    return [*chunks, *finished], progress._replace(parts=parts, doubtful=None)


def _call(call_id: str, name: str, given: Any) -> Chunk:
    """Return the chunk of a tool call. The agent calls the tool, so the page must not answer it."""
    called = {"toolCallId": call_id, "toolName": name, "input": given}
    return {"type": "tool-input-available", **called, "dynamic": True, "providerExecuted": True}


def _result(call_id: str, result: Mapping[str, Any]) -> Chunk:
    about = {"toolCallId": call_id, "dynamic": True, "providerExecuted": True}
    content = result["content"]
    if result.get("status") == "error":
        told = content if isinstance(content, str) else json.dumps(content)
        return {"type": "tool-output-error", **about, "errorText": told}
    return {"type": "tool-output-available", **about, "output": content}


def _retry(progress: Progress, event_id: int, data: Mapping[str, Any]) -> tuple[Sequence[Chunk], Progress]:
    """Return the part that tells of an attempt without a result. No later text joins those of the attempt.

    The part stays in the message, so that a page can tell why a text ends in the middle. Whether an open text was
    finished is known when the next attempt shows its first message.
    """
    about = {"attempt": data["attempt"], "error": data["error"], "nextAt": data["next_at"]}
    part: Chunk = {"type": "data-retry", "id": f"retry-{event_id}", "data": about}
    return [part], progress._replace(doubtful=frozenset(each.message for each in progress.parts.texts))


def _ask(
    view: ChatView, progress: Progress, event_id: int, data: Mapping[str, Any]
) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of questions to a human: calls of a tool that the page answers. They end the request."""
    settled, progress = _settled(progress)
    chunks, parts = progress.parts.with_questions()
    asked = data["interrupts"]
    questions = [
        {
            "type": "tool-input-available",
            "toolCallId": each["id"],
            "toolName": QUESTION_TOOL,
            "input": question_input(each["value"]),
        }
        for each in asked
    ]
    finished, parts = parts.step_finished()
    progress = progress._replace(parts=parts, questions=tuple(each["id"] for each in asked))
    if event_id < view.first_event:  # an earlier request of the message
        return [*settled, *chunks, *questions, *finished], progress
    end = _finish(progress, "tool-calls")
    return [*settled, *chunks, *questions, *finished, end], progress._replace(ended=True)


def _answered(view: ChatView, progress: Progress, given: Mapping[str, Any]) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of the answers `given`. A page that gave them has them already.

    The next step begins at once: the AI SDK posts a message again whose last step has nothing but answered calls.
    """
    answers: list[Chunk] = []
    if view.whole:
        answers = [
            {"type": "tool-output-available", "toolCallId": each, "output": given.get(each)}
            for each in progress.questions
        ]
    settled, progress = _settled(progress)
    begun, parts = progress.parts.step_begun()
    return [*answers, *settled, *begun], progress._replace(parts=parts, questions=())


def _end(progress: Progress, kind: EventType, data: Mapping[str, Any]) -> tuple[Sequence[Chunk], Progress]:
    """Return the chunks of the end of a message."""
    settled, progress = _settled(progress)
    chunks, parts = progress.parts.step_finished()
    progress = progress._replace(parts=parts, ended=True)
    match kind:
        case EventType.ERROR:
            end: Chunk = {"type": "error", "errorText": data["error"]}
        case EventType.CANCELLED:
            end = {"type": "abort", "reason": "The message was cancelled."}
        case _:
            end = _finish(progress, "stop")
    return [*settled, *chunks, end], progress


def _finish(progress: Progress, reason: str) -> Chunk:
    about = {} if progress.usage is None else {"messageMetadata": {"usage": progress.usage}}
    return {"type": "finish", "finishReason": reason, **about}


def _added(usage: Mapping[str, int], models: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return the usage with that of further model calls."""
    return {
        shown: usage.get(shown, 0) + sum(int(counts.get(name) or 0) for counts in models.values())
        for shown, name in _COUNTS.items()
    }
