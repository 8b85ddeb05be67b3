"""Converts between OpenTelemetry's span contexts and the texts that are sent and stored."""

from collections.abc import Mapping
from contextvars import Token
from typing import Any, Self

from opentelemetry import context as current
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from ..models.traces import TraceContext
from .trace_attributes import NAMES

NO_CONTEXT = Context()
"""The context in which a span begins a trace."""


def attributes_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes under their names in the conventions, without those that are None."""
    return {NAMES[name]: value for name, value in given.items() if value is not None}


def traceparent_of(context: SpanContext) -> str:
    """Return the header that names a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def span_context_of(given: TraceContext) -> SpanContext:
    """Return the context of a span of another process."""
    flags = TraceFlags(int(given.parent[53:55], 16))
    state = TraceState.from_header([given.state]) if given.state else None
    return SpanContext(
        int(given.trace_id, 16), int(given.span_id, 16), is_remote=True, trace_flags=flags, trace_state=state
    )


def inside(given: TraceContext | None) -> Context:
    """Return the context in which a span begins inside a span of another process; for None, a context of no trace."""
    if given is None:
        return NO_CONTEXT
    return set_span_in_context(NonRecordingSpan(span_context_of(given)), NO_CONTEXT)


def links_to(*parents: str) -> list[Link]:
    """Return links to the spans that these headers name. Ignore empty ones."""
    return [Link(span_context_of(TraceContext(each))) for each in parents if each]


def fail(span: Span, error: str) -> None:
    """Mark a span as failed by an error of this kind. Texts of errors may have secrets and users' texts."""
    span.set_attribute(NAMES["error"], error)
    span.set_status(Status(StatusCode.ERROR))


class CurrentSpan:
    """A base of classes whose span is the current one inside their `with` statement."""

    _span: Span
    _token: Token[Context] | None = None

    def __enter__(self) -> Self:
        self._token = current.attach(set_span_in_context(self._span))
        return self

    def leave(self) -> None:
        """Make the span before the current one again."""
        if self._token is not None:
            current.detach(self._token)
