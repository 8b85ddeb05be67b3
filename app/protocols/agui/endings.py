"""The last event of a run. Pure."""

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
