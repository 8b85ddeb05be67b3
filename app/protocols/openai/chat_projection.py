"""Makes the chunks of a chat completion from the stored events of its run. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...models.events import Event, EventType
from ..growing_texts import GrowingText, grown
from .errors import error_object, failure_frame
from .token_counts import TokenCounts

DONE = b"data: [DONE]\n\n"

_ENCODER = json.JSONEncoder(separators=(",", ":"))

SEPARATOR = "\n\n"
"""Stands between the words beside a step and the answer, which clients show as one text."""

ASKED = "The agent asks a human, which a chat completion cannot show. Use /v1/responses."
CANCELLED = "The completion was cancelled."
DIVERGED = (
    "An attempt failed after parts of its text had been sent, and the next one says something else. Send the request "
    "again, or use /v1/responses, which shows attempts apart."
)


class ChatView(NamedTuple):
    """The completion that a client reads."""

    completion_id: str
    agent: str
    created: int
    includes_usage: bool


class Progress(NamedTuple):
    """The state on which later chunks depend.

    `said` is the text of the attempt, and `length` its number of characters. `before` is what earlier attempts have
    sent. The attempt has to begin with it. `separated` tells that something was taken back.
    """

    said: GrowingText = ()
    length: int = 0
    before: str = ""
    separated: bool = False
    tokens: TokenCounts | None = None
    ended: bool = False


def frames_of(view: ChatView, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
    """Return the chunks that consecutive stored events give, and the progress after them."""
    written: list[bytes] = []
    for event in events:
        if progress.ended:
            break
        frames, progress = _project(view, progress, event)
        written += frames
    return b"".join(written), progress


def opening(view: ChatView) -> bytes:
    """Return the first chunk, which tells the role."""
    return _chunk(view, {"role": "assistant", "content": ""})


def failure_of(kind: EventType, data: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Return the status and the error for the event that ended a run; None for a run with an answer."""
    match kind:
        case EventType.ERROR:
            return 500, error_object(500, data["code"], data["error"])
        case EventType.CANCELLED:
            return 409, error_object(409, "cancelled", CANCELLED)
        case EventType.INTERRUPTED:
            return 400, error_object(400, "human_input_required", ASKED)
    return None


def completion_of(view: ChatView, text: str, tokens: TokenCounts | None) -> dict[str, Any]:
    """Return a whole completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": view.completion_id,
        "object": "chat.completion",
        "created": view.created,
        "model": view.agent,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": None if tokens is None else tokens.of_completion(),
    }


def _project(view: ChatView, progress: Progress, event: Event) -> tuple[list[bytes], Progress]:
    data = json.loads(event.data)
    if event.type is EventType.CHUNK:
        return _said(view, progress, data)
    if event.type is EventType.USAGE:
        return [], progress._replace(tokens=(progress.tokens or TokenCounts()).plus(data["models"]))
    if event.type is EventType.RETRY:
        longest = max(progress.before, "".join(progress.said), key=len)
        return [], Progress(before=longest, tokens=progress.tokens)
    if event.type is EventType.DONE:
        if progress.length < len(progress.before):
            return _failed(progress, error_object(500, "text_diverged", DIVERGED))
        frames = [] if progress.said or not data["result"] else [_chunk(view, {"content": data["result"]})]
        return [*frames, *_ends(view, progress)], progress._replace(ended=True)
    failure = failure_of(event.type, data)
    return ([], progress) if failure is None else _failed(progress, failure[1])


def _said(view: ChatView, progress: Progress, data: Mapping[str, Any]) -> tuple[list[bytes], Progress]:
    """Take a piece of the answer. A piece that an earlier attempt has sent is not sent again."""
    if data["type"] == "discard":
        return [], progress._replace(separated=bool(progress.said))
    if data["type"] != "content":
        return [], progress
    piece = SEPARATOR + data["chunk"] if progress.separated else data["chunk"]
    start, end = progress.length, progress.length + len(piece)
    sent = progress.before[start:end]
    if not piece.startswith(sent):
        return _failed(progress, error_object(500, "text_diverged", DIVERGED))
    progress = progress._replace(said=grown(progress.said, piece), length=end, separated=False)
    rest = piece[len(sent) :]
    return [_chunk(view, {"content": rest})] if rest else [], progress


def _failed(progress: Progress, error: Mapping[str, Any]) -> tuple[list[bytes], Progress]:
    return [failure_frame(error)], progress._replace(ended=True)


def _ends(view: ChatView, progress: Progress) -> list[bytes]:
    found = [_chunk(view, {}, "stop")]
    if view.includes_usage:
        usage = None if progress.tokens is None else progress.tokens.of_completion()
        found.append(_frame({**_head(view), "choices": [], "usage": usage}))
    return [*found, DONE]


def _chunk(view: ChatView, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return _frame({**_head(view), "choices": [choice], **({"usage": None} if view.includes_usage else {})})


def _head(view: ChatView) -> dict[str, Any]:
    return {
        "id": view.completion_id,
        "object": "chat.completion.chunk",
        "created": view.created,
        "model": view.agent,
    }


def _frame(data: Mapping[str, Any]) -> bytes:
    return f"data: {_ENCODER.encode(data)}\n\n".encode("ascii")
