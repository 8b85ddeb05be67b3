"""Makes the events of AG-UI from the stored events of a message. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    StateSnapshotEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from ag_ui.encoder import EventEncoder
from rpds import HashTrieMap, HashTrieSet

from ...models.events import Event, EventType
from ...models.usage import add_counts
from ..shown_calls import NO_CALLS, Calls, has_open_calls, with_answer, with_call, without_calls_of
from ..shown_messages import ShownMessage, ShownMessages, with_piece
from .endings import End
from .open_parts import NO_PARTS, Events, OpenParts

FAILED_TOOL: dict[str, Any] = {"agentq": {"status": "error"}}
"""The metadata of the result of a tool that failed."""

HIDDEN_KEYS = frozenset({"messages", "jump_to", "ag-ui", "copilotkit"})
"""Keys of states that pages are not shown: they have the messages, and gave the last two themselves."""

NO_USAGE: Mapping[str, Mapping[str, Any]] = {}


class RunView(NamedTuple):
    """The run that clients read: a part of a message's log, from `first_event` on. 0 is the beginning."""

    message_id: str
    first_event: int = 0


class Progress(NamedTuple):
    """The state on which later events depend. It is never changed, so that readers can share it.

    `messages` has the messages that attempts showed, by the agent's ids: a later attempt shows finished steps again,
    before anything else. After a retry or an answer, `doubtful` has the agent's ids of those that the next attempt has
    not shown again yet, until it shows something new; else None. The rest of them does not count: `gone` has the ids by
    which clients know it. `calls` has the newest tool calls by the agent's ids. `state` is the JSON of the newest state
    without its messages; empty before the first one. `usage` has the counts of all model calls so far, by model. `end`
    is how the run has ended; None before its end.
    """

    attempt: int = 0
    parts: OpenParts = NO_PARTS
    messages: ShownMessages = HashTrieMap()
    doubtful: frozenset[str] | None = None
    gone: "HashTrieSet[str]" = HashTrieSet()
    calls: Calls = NO_CALLS
    state: str = ""
    usage: Mapping[str, Mapping[str, Any]] = NO_USAGE
    end: End | None = None


_LINE_BREAKS = re.compile("[\u0085\u2028\u2029]")
"""Characters that JSON leaves as they are, and at which some clients split lines."""


def frame_of(event: BaseEvent) -> bytes:
    """Return an event as a server-sent event."""
    text = EventEncoder().encode(event)
    return _LINE_BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def frames_of(view: RunView, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
    """Return the frames that consecutive events give, and the progress after the events.

    The events begin where the progress ends. Those behind the end of the run give nothing. The end itself gives what
    finishes the open parts: its last event names the run as each client does.
    """
    made, progress = events_of(view, progress, events)
    return b"".join(map(frame_of, made)), progress


def events_of(view: RunView, progress: Progress, events: Sequence[Event]) -> tuple[list[BaseEvent], Progress]:
    """Return what `frames_of` returns, as events."""
    made: list[BaseEvent] = []
    for event in events:
        if progress.end is not None:
            break
        new, progress = _project(view, progress, event)
        made += new
    return made, progress


def _project(view: RunView, progress: Progress, event: Event) -> tuple[Events, Progress]:
    """Return the events that one event gives, and the progress after it."""
    data = json.loads(event.data)
    made: Events = ()
    match event.type:
        case EventType.PROCESSING:
            progress = progress._replace(attempt=progress.attempt + 1)
        case EventType.CHUNK:
            made, progress = _piece(view, progress, event.id, data)
        case EventType.CUSTOM if "omitted" not in data:  # else too large to be stored
            made = [CustomEvent(name="custom", value=data["data"])]
        case EventType.NODE:
            made, progress = _step(progress, data)
        case EventType.VALUES if "omitted" not in data and not data.get("path"):
            made, progress = _state(progress, data["values"])
        case EventType.USAGE:
            usage = deepcopy(dict(progress.usage))
            add_counts(usage, data["models"])
            progress = progress._replace(usage=usage)
        case EventType.RETRY:
            made, progress = _retry(progress, data)
        case EventType.RESUMED:
            progress = _doubted(progress)
        case EventType.INTERRUPTED | EventType.DONE | EventType.ERROR | EventType.CANCELLED:
            made, progress = _end(progress)
            if event.id >= view.first_event:  # else the question of an earlier run
                progress = progress._replace(end=End(event.type, data, progress.usage))
    return made, progress


def _piece(view: RunView, progress: Progress, event_id: int, data: Mapping[str, Any]) -> tuple[Events, Progress]:
    """Return the events of a piece of the answer. What an earlier attempt showed is not shown again."""
    if "message" not in data and data["type"] == "content" and has_open_calls(progress.calls):
        return [], progress  # the output as text; the last event has it, and the page has to answer the calls
    name = data.get("message") or f"{view.message_id}-{progress.attempt}"
    if data["type"] == "discard":
        return _discard(progress, name, data)
    before = progress.messages.get(name)
    pieces, message, messages = with_piece(progress.messages, progress.attempt, name, data["type"], data["chunk"])
    progress = progress._replace(messages=messages)
    made: list[BaseEvent] = []
    if before is not None and before.id != message.id:  # it says something else than before
        ended, progress = _voided(progress, before)
        made += ended
    if _is_repeat(progress, name, data):
        progress = _undoubted(progress, name)
    else:
        settled, progress = _settled(progress)
        made += settled
    for kind, piece in pieces:
        new, progress = _new_piece(progress, event_id, message.id, kind, piece)
        made += new
    return made, progress


def _discard(progress: Progress, name: str, data: Mapping[str, Any]) -> tuple[Events, Progress]:
    """Return the events that finish the texts of a message that is not the answer."""
    is_void = not data.get("kept", False)
    message = progress.messages.get(name)
    settled: Events = ()
    if _is_repeat(progress, name, data):
        progress = _undoubted(progress, name)
    else:
        settled, progress = _settled(progress)
    if is_void and message is not None:
        ended, progress = _voided(progress, message)
        return [*settled, *ended], progress
    ended, parts = progress.parts.without(name if message is None else message.id)
    return [*settled, *ended], progress._replace(parts=parts)


def _voided(progress: Progress, message: ShownMessage) -> tuple[Events, Progress]:
    """Mark the text of a message that is not part of the answer, if it has any."""
    if not message.texts.get("content"):
        ended, parts = progress.parts.without(message.id, is_void=True)
    else:
        ended, parts = progress.parts.voided(message.id)
    return ended, progress._replace(parts=parts)


def _new_piece(progress: Progress, event_id: int, message: str, kind: str, piece: Any) -> tuple[Events, Progress]:
    """Return the events of a piece that no attempt showed before."""
    if kind == "tool_call":
        shown_id, calls = with_call(progress.calls, event_id, message, piece.get("id") or "")
        ended, parts = progress.parts.without(message)
        called = _call(shown_id, piece["name"], piece["args"], message)
        return [*ended, *called], progress._replace(parts=parts, calls=calls)
    if kind == "tool_result":
        return _result(progress, event_id, message, piece)
    made, parts = progress.parts.with_text(message, piece, is_reasoning=kind == "reasoning")
    return made, progress._replace(parts=parts)


def _result(progress: Progress, event_id: int, message: str, piece: Mapping[str, Any]) -> tuple[Events, Progress]:
    """Return the events of a tool's result. A call that was not shown is shown before it."""
    called: Events = ()
    shown_id, calls = with_answer(progress.calls, piece.get("id") or "")
    if shown_id is None:
        owner = _owner(message)
        shown_id, calls = with_call(calls, event_id, owner, piece.get("id") or "")
        called = _call(shown_id, piece.get("name") or "tool", {}, owner)
    content = piece["content"]
    result = ToolCallResultEvent(
        message_id=message,
        tool_call_id=shown_id,
        content=content if isinstance(content, str) else json.dumps(content),
        role="tool",
        metadata=FAILED_TOOL if piece.get("status") == "error" else None,
    )
    return [*called, result], progress._replace(calls=calls)


def _owner(result: str) -> str:
    """Return the id of the message that has the call of a result, if nothing but the result was shown of it."""
    return f"{result}-call"


def _call(call_id: str, name: str, given: Any, message: str) -> Events:
    """Return the events of a tool call that belongs to a message."""
    return [
        ToolCallStartEvent(tool_call_id=call_id, tool_call_name=name, parent_message_id=message),
        ToolCallArgsEvent(tool_call_id=call_id, delta=given if isinstance(given, str) else json.dumps(given)),
        ToolCallEndEvent(tool_call_id=call_id),
    ]


def _step(progress: Progress, data: Mapping[str, Any]) -> tuple[Events, Progress]:
    """Return the events of the start or the end of a node, whose name begins with the nodes around it.

    The texts of a step are finished with it, unless a retry has left it open what becomes of them.
    """
    name = "/".join([*data.get("path", ()), data["node"]])
    if data["state"] == "start":
        made, parts = progress.parts.step_begun(name)
        return made, progress._replace(parts=parts)
    closed: Events = ()
    parts = progress.parts
    if parts.steps == (name,) and progress.doubtful is None:
        closed, parts = parts.closed()
    ended, parts = parts.step_finished(name)
    return [*closed, *ended], progress._replace(parts=parts)


def _state(progress: Progress, values: Any) -> tuple[Events, Progress]:
    """Return the event of a state that has changed."""
    shown = state_without_messages(values)
    text = json.dumps(shown)
    if text == progress.state or (not progress.state and not shown):
        return [], progress
    return [StateSnapshotEvent(snapshot=shown)], progress._replace(state=text)


def state_without_messages(values: Any) -> Any:
    """Return the state of a graph as clients of AG-UI get it: messages are events of their own."""
    if not isinstance(values, dict):
        return values
    return {name: value for name, value in values.items() if name not in HIDDEN_KEYS}


def _is_repeat(progress: Progress, name: str, data: Mapping[str, Any]) -> bool:
    """Return whether a piece is of a message that an earlier attempt showed or finished.

    Finished steps are shown again without the nodes that made them. Readers may not have seen all of them.
    """
    message = progress.messages.get(name)
    return ("message" in data and "node" not in data) or (message is not None and message.is_repeated)


def _doubted(progress: Progress) -> Progress:
    """Note that no message counts until the next attempt has shown it again."""
    shown = (name for name, each in progress.messages.items() if each.texts or each.others)
    return progress._replace(doubtful=frozenset(shown))


def _undoubted(progress: Progress, name: str) -> Progress:
    """Note that the present attempt has a message of an earlier one."""
    return progress if progress.doubtful is None else progress._replace(doubtful=progress.doubtful - {name})


def _settled(progress: Progress) -> tuple[Events, Progress]:
    """Mark the messages that the present attempt has not shown again, and finish the texts that were broken off."""
    if progress.doubtful is None:
        return [], progress
    made: list[BaseEvent] = []
    callers = {each.message for each in progress.calls.values()}
    for name in sorted(progress.doubtful):
        message = progress.messages[name]
        kinds = message.texts.keys() or ({"content"} if message.id in callers else ())
        ended, parts = progress.parts.voided(message.id, kinds)
        made += ended
        progress = progress._replace(
            parts=parts,
            gone=progress.gone.insert(message.id).insert(_owner(message.id)),
            messages=progress.messages.insert(name, ShownMessage(f"{message.id}-{progress.attempt}", progress.attempt)),
        )
    calls = without_calls_of(progress.calls, progress.gone)
    closed, parts = progress.parts.closed()
    return [*made, *closed], progress._replace(parts=parts, calls=calls, doubtful=None)


def _retry(progress: Progress, data: Mapping[str, Any]) -> tuple[Events, Progress]:
    """Return the events of an attempt without a result. No later text joins those of the attempt.

    Which of them count is known when the next attempt shows something new.
    """
    about = {"attempt": data["attempt"], "error": data["error"], "nextAt": data["next_at"]}
    ended, parts = progress.parts.steps_finished()
    told = CustomEvent(name="retry", value=about)
    return [*ended, told], _doubted(progress._replace(parts=parts))


def _end(progress: Progress) -> tuple[Events, Progress]:
    """Return the events that finish all that is open at the end of a run."""
    settled, progress = _settled(progress)
    closed, parts = progress.parts.closed()
    ended, parts = parts.steps_finished()
    return [*settled, *closed, *ended], progress._replace(parts=parts)
