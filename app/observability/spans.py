"""Records spans with OpenTelemetry. Needs the extra `telemetry`, or another package that sets OpenTelemetry up."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as current
from opentelemetry.trace import Span, SpanKind, TracerProvider
from typing_extensions import override

from .. import __version__
from ..models.attempts import Claim
from ..models.messages import NewMessage
from ..models.traces import Trace, TraceContext
from .attempt_spans import AttemptSpans
from .logging import add_filter, remove_filter
from .new_traces import NewTraces
from .span_contexts import CurrentSpan, attributes_of, fail, inside, links_to, traceparent_of
from .trace_attributes import MESSAGING_SYSTEM, SCHEMA_URL
from .trace_ids import UNRECORDED, TraceIds
from .tracing import INCOMING, AttemptTrace, Receiving, Tracing

LAST_EXPORT_SECONDS = 0.5
"""How long the collector may take to get the last spans, at the end of the process."""


class SpanTracing(Tracing):
    """Records spans with a tracer of `provider`.

    `redact` removes secrets from texts. Without `captures_content`, spans have no texts of users, models and tools.
    `shut_down` exports the last spans; None leaves that to whoever made the provider. `new_traces` decides which new
    traces are recorded, if the provider's sampler is based on the parent. None leaves the decision to the sampler.
    """

    def __init__(
        self,
        provider: TracerProvider,
        *,
        redact: Callable[[str], str],
        captures_content: bool = False,
        shut_down: Callable[[], None] | None = None,
        new_traces: NewTraces | None = None,
    ) -> None:
        self._tracer = provider.get_tracer("agentq", __version__, schema_url=SCHEMA_URL)
        self._redact = redact
        self._captures_content = captures_content
        self._shut_down = shut_down
        self._new_traces = new_traces
        self._ids = TraceIds()

    @override
    def start(self) -> None:
        add_filter(self._ids)

    @override
    async def stop(self) -> None:
        remove_filter(self._ids)
        shut_down, self._shut_down = self._shut_down, None
        if shut_down is None:
            return
        loop, exported = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            shut_down()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(exported.set)

        # The process would wait for a thread of the loop's pool at its end, for as long as the collector hangs.
        threading.Thread(target=work, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_EXPORT_SECONDS):
                await exported.wait()

    @override
    def receive(self, operation: str, trace: str | None = None) -> Receiving:
        incoming = INCOMING.get()
        if self._new_traces is not None:
            if incoming is not None:
                if not incoming.sampled:
                    return UnrecordedRequest(incoming, incoming.parent)
            elif not current.get_current() and (unrecorded := self._new_traces.unrecorded()) is not None:
                return UnrecordedRequest(unrecorded, None)
        around = None if incoming is None else inside(incoming)  # None: inside the span of another instrumentation
        span = self._tracer.start_span(
            "receive", around, SpanKind.SERVER, links=() if trace is None else _question(trace)
        )
        described = {"system": MESSAGING_SYSTEM, "messaging_operation": operation, "messaging_type": "send"}
        span.set_attributes(attributes_of(described))
        return ReceivingSpan(span)

    @override
    def attempt(self, claim: Claim) -> AttemptTrace:
        return AttemptSpans(self._tracer, claim, self._redact, captures_content=self._captures_content)


def _question(text: str) -> Sequence[Any]:
    """Return links to the attempt that asked, or to the submit if that attempt was not recorded."""
    trace = Trace.of(text)
    return links_to(trace.attempt or trace.context.parent)


def _described(new: Sequence[NewMessage]) -> dict[str, Any]:
    if len(new) != 1:
        return {"messages": len(new) or None}
    (message,) = new
    return {
        "message": message.id,
        "conversation": message.thread_id,
        "destination": message.agent,
        "priority": message.priority.value,
    }


class UnrecordedRequest(Receiving):
    """A request in a trace that is not recorded. Log lines inside the `with` statement have the ids of the trace."""

    @override
    def __enter__(self) -> Self:
        self._token = UNRECORDED.set(self.context)
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        UNRECORDED.reset(self._token)


class ReceivingSpan(CurrentSpan, Receiving):
    """The span of a request. It is the current one inside the `with` statement."""

    def __init__(self, span: Span) -> None:
        own = span.get_span_context()
        parent = traceparent_of(own)
        super().__init__(TraceContext(parent, own.trace_state.to_header()), parent)
        self._span = span

    @override
    def describe(self, new: Sequence[NewMessage]) -> None:
        if self._span.is_recording():
            self._span.set_attributes(attributes_of(_described(new)))

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
        if error is not None:
            fail(self._span, getattr(error, "code", None) or type(error).__name__)
        self._span.end()
