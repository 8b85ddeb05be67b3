"""Records the spans of an attempt: its wait, the attempt, and the run of the agent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context
from typing_extensions import override

from ..models.attempts import Cancelled, Claim, Completed, Failed, Interrupted, Outcome, Released, Retry
from ..models.traces import Trace, TraceContext
from .run_spans import RunSpans
from .span_contexts import NO_CONTEXT, CurrentSpan, attributes_of, fail, inside, links_to, traceparent_of
from .trace_attributes import INVOKE_AGENT, MESSAGING_SYSTEM
from .tracing import AttemptTrace

OUTCOMES: Mapping[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    Retry: "retry",
    Interrupted: "interrupted",
    Cancelled: "cancelled",
    Released: "released",
}
LOST = "lease_lost"
"""The outcome of an attempt whose outcome could not be stored."""


class AttemptSpans(CurrentSpan, AttemptTrace):
    """The spans of one attempt. It begins a trace if the message has none."""

    def __init__(self, tracer: Tracer, claim: Claim, redact: Callable[[str], str], *, captures_content: bool) -> None:
        text = claim.message.trace
        self._trace = trace = None if text is None else Trace.of(text)
        around = inside(None if trace is None else trace.context)
        links = [] if trace is None else links_to(trace.attempt, trace.answer)
        self._span = tracer.start_span("attempt", around, SpanKind.CONSUMER, links=links)
        self._recorded = self._span.is_recording()
        self._agent_span = self._record(tracer, claim, around) if self._recorded else self._span
        self._run = RunSpans(tracer, self._agent_span, redact, captures_content=captures_content)
        self.run = self._run
        self._outcome: Outcome | None = None

    def _record(self, tracer: Tracer, claim: Claim, around: Context) -> Span:
        """Describe the attempt, record the wait before it, and return the new span of the agent's run."""
        message, lease = claim.message, claim.lease
        named: dict[str, Any] = {"message": message.id, "conversation": message.thread_id}
        described = {
            "system": MESSAGING_SYSTEM,
            "messaging_operation": "process",
            "messaging_type": "process",
            "destination": message.agent,
            "worker": lease.worker_id,
            "attempt": lease.attempt,
            "priority": message.priority.value,
        }
        self._span.set_attributes(attributes_of(named | described))
        inside_attempt = set_span_in_context(self._span, NO_CONTEXT)
        since = claim.waiting_since
        is_again = self._trace is not None and bool(self._trace.attempt)
        if since is not None and message.started_at is not None and not is_again:
            begun_in = inside_attempt if self._trace is None else around
            waited = tracer.start_span("wait", begun_in, start_time=_nanoseconds(since))
            waited.set_attributes(attributes_of(named | {"priority": message.priority.value}))
            waited.end(_nanoseconds(max(since, message.started_at)))
        agent_span = tracer.start_span(f"{INVOKE_AGENT} {message.agent}", inside_attempt)
        agent = {"operation": INVOKE_AGENT, "agent": message.agent, "agent_version": message.agent_version}
        agent_span.set_attributes(attributes_of(named | agent))
        return agent_span

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
        if not self._recorded:
            return
        self._end_run(LOST if self._outcome is None else None)
        if self._outcome is None:
            fail(self._span, LOST)
        else:
            self._span.set_attributes(attributes_of({"outcome": OUTCOMES[type(self._outcome)]}))
            if isinstance(self._outcome, Failed | Retry):
                fail(self._span, self._outcome.code)
        self._span.end()

    @override
    def ran(self, outcome: Outcome) -> str | None:
        if not self._recorded:
            return None
        self._end_run(outcome.code if isinstance(outcome, Failed | Retry) else None)
        if not isinstance(outcome, Retry | Interrupted | Released):
            return None
        own = traceparent_of(self._span.get_span_context())
        trace = self._trace or Trace(TraceContext(own))
        return str(trace._replace(attempt=own, answer=""))

    @override
    def stored(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def _end_run(self, error: str | None) -> None:
        self._run.close()
        if self._agent_span.is_recording():
            if error is not None:
                fail(self._agent_span, error)
            self._agent_span.end()


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000) * 1_000_000
