"""Uses the generated models as a caller would. mypy checks that each event is told from the others by its type.

Reads the reply of `GET /messages/{message_id}/events`, then one parsed event of a stream a line; tells each in a line.
"""

import json
import sys
from typing import assert_never

from models import (
    CancelledEvent,
    CheckpointsEvent,
    ChunkEvent,
    CustomEvent,
    DebugEvent,
    DiscardChunk,
    DoneEvent,
    ErrorEvent,
    EventList,
    InterruptedEvent,
    MessagesEvent,
    NodeEvent,
    ProcessingEvent,
    ResetEvent,
    ResumedEvent,
    RetryEvent,
    StoredEvent,
    StreamEvent,
    TasksEvent,
    TextChunk,
    ToolCallChunk,
    ToolResultChunk,
    UpdatesEvent,
    UsageEvent,
    ValuesEvent,
    VersionEvent,
    WaitingEvent,
)


def tell(event: StreamEvent | StoredEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one case a type
    """Return what an event says."""
    match event.root:
        case WaitingEvent(data=waiting):
            return f"waiting {waiting.position}"
        case ResetEvent(data=reset):
            return f"reset {reset.text}"
        case ProcessingEvent(data=processing):
            return f"processing {processing.attempt}"
        case VersionEvent(data=version):
            return f"version {version.from_} {version.to}"
        case ChunkEvent(data=chunk):
            match chunk.root:
                case TextChunk(type=kind, chunk=text):
                    return f"chunk {kind} {text}"
                case ToolCallChunk(chunk=call):
                    return f"chunk tool_call {call.name} {sorted(call.args)[0]}"
                case ToolResultChunk(chunk=result):
                    return f"chunk tool_result {result.content}"
                case DiscardChunk(kept=kept, discard_from=begun):
                    return f"chunk discard {str(kept).lower()} {begun}"
                case _:
                    assert_never(chunk.root)
        case CustomEvent(data=custom):
            return f"custom {json.dumps(custom.data, separators=(',', ':'))}"
        case NodeEvent(data=node):
            return f"node {node.node} {node.state.value}"
        case ValuesEvent(data=values):
            return f"values {sorted(values.values)[0]}"
        case UpdatesEvent(data=updates):
            return f"updates {sorted(updates.updates or {})[0]}"
        case MessagesEvent(data=pieces):
            return f"messages {sorted(pieces.messages.model_fields_set if pieces.messages else ())[0]}"
        case TasksEvent(data=tasks):
            return f"tasks {sorted(tasks.tasks or {})[0]}"
        case CheckpointsEvent(data=checkpoints):
            return f"checkpoints {sorted(checkpoints.checkpoints or {})[0]}"
        case DebugEvent(data=debug):
            return f"debug {sorted(debug.debug or {})[0]}"
        case UsageEvent(data=usage):
            return f"usage {sorted(usage.models)[0]}"
        case RetryEvent(data=retry):
            return f"retry {retry.attempt} {retry.discard_from}"
        case InterruptedEvent(data=interrupted):
            return f"interrupted {interrupted.interrupts[0].id}"
        case ResumedEvent(data=resumed):
            return f"resumed {resumed.discard_from}"
        case DoneEvent(data=done):
            return f"done {done.result}"
        case ErrorEvent(data=error):
            return f"error {error.code}"
        case CancelledEvent(data=cancelled):
            return f"cancelled {cancelled.state}"
        case _:
            assert_never(event.root)


stored, *streamed = sys.stdin.read().splitlines()
for each in EventList.model_validate_json(stored).events:
    print(tell(each))  # noqa: T201  the test reads it
for line in streamed:
    print(tell(StreamEvent.model_validate_json(line)))  # noqa: T201  the test reads it
