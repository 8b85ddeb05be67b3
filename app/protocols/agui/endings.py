"""The last event of a run. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ag_ui.core import (
    BaseEvent,
    Interrupt,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    TokenUsage,
)

from ...models.events import EventType
from ...models.messages import Message, MessageState
from ...text import rfc3339

ASKS = "input_required"
"""The reason of a question that names no other one."""

CANCELLED = "The message was cancelled."

_DETAILS = {
    "reasoning_tokens": ("output_token_details", "reasoning"),
    "cached_input_tokens": ("input_token_details", "cache_read"),
    "cache_write_input_tokens": ("input_token_details", "cache_creation"),
}
"""The counts that are parts of others, and where model calls have them."""


class End(NamedTuple):
    """The event that ended a run, its data, and the counts of all model calls by model."""

    type: EventType
    data: Mapping[str, Any]
    usage: Mapping[str, Mapping[str, Any]]

    def event(self, thread_id: str, run_id: str, *, knows_cancelled: bool = True) -> BaseEvent:
        """Return the last event for a client that names the thread and the run so.

        Clients of versions before 1.0 fail at the outcome of a cancelled run, so they get an error.
        """
        usage = list(_usage(self.usage)) or None
        named = {"thread_id": thread_id, "run_id": run_id, "usage": usage}
        match self.type:
            case EventType.ERROR:
                return RunErrorEvent(message=self.data["error"], code=self.data["code"], usage=usage)
            case EventType.CANCELLED if not knows_cancelled:
                return RunErrorEvent(message=CANCELLED, code="cancelled", usage=usage)
            case EventType.CANCELLED:
                return RunFinishedEvent(**named, outcome=RunFinishedCancelledOutcome())
            case EventType.INTERRUPTED:
                questions = [_question(each, self.data.get("expires_at")) for each in self.data["interrupts"]]
                return RunFinishedEvent(**named, outcome=RunFinishedInterruptOutcome(interrupts=questions))
        result = self.data.get("output", self.data["result"])
        return RunFinishedEvent(**named, outcome=RunFinishedSuccessOutcome(), result=result)


NOTHING_RUNS = End(EventType.DONE, {"result": None}, {})
"""The end of a run that reads a thread without messages."""


def end_of(message: Message) -> End | None:
    """Return how a message has ended whose log is no longer kept; None for an unfinished one."""
    match message.state:
        case MessageState.COMPLETED:
            output = {} if message.output is None else {"output": json.loads(message.output)}
            return End(EventType.DONE, {"result": message.result, **output}, {})
        case MessageState.FAILED:
            return End(EventType.ERROR, {"error": message.error or "", "code": message.error_code}, {})
        case MessageState.CANCELLED:
            return End(EventType.CANCELLED, {}, {})
        case MessageState.INTERRUPTED:
            asked = {"interrupts": json.loads(message.interrupt or "[]")}
            until = message.interrupt_expires_at
            expires = {} if until is None else {"expires_at": rfc3339(until)}
            return End(EventType.INTERRUPTED, {**asked, **expires}, {})
    return None


def _question(asked: Mapping[str, Any], expires_at: str | None) -> Interrupt:
    """Return a question to a human. Its metadata has the value that the agent gave, as it is."""
    value = asked["value"]
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {"message": value}
    reason, schema = fields.get("reason"), fields.get("response_schema")
    return Interrupt(
        id=asked["id"],
        reason=reason if isinstance(reason, str) and reason else ASKS,
        message=_first_text(fields, ("message", "question", "description")),
        response_schema=schema if isinstance(schema, dict) else None,
        expires_at=expires_at,
        metadata={"value": value},
    )


def _first_text(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)


def _usage(counts: Mapping[str, Mapping[str, Any]]) -> Iterator[TokenUsage]:
    """Yield the tokens that each model used."""
    for model, each in counts.items():
        found = {name: each.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")}
        found |= {name: (each.get(group) or {}).get(part) for name, (group, part) in _DETAILS.items()}
        whole = {name: int(count) for name, count in found.items() if count is not None}
        yield TokenUsage(model=model or None, **whole)
