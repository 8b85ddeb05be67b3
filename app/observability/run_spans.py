"""Records spans inside a run of an agent: nodes, calls of models, calls of tools."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from opentelemetry import context as current
from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context
from typing_extensions import override

from .live_span import LiveSpan
from .span_contexts import NO_CONTEXT, attributes_of, fail
from .trace_attributes import CONTENT
from .tracing import RunTrace

CANCELLED = "cancelled"
"""The error of spans that a run left open: it was stopped."""


class RunSpans(RunTrace):
    """Records spans inside `span`, the agent's. A span that is not recorded is only passed on to the agent's code."""

    def __init__(self, tracer: Tracer, span: Span, redact: Callable[[str], str], *, captures_content: bool) -> None:
        self._tracer = tracer
        self._root = LiveSpan(span)
        self._redact = redact
        self._captures_content = captures_content
        self._spans: dict[UUID, LiveSpan] = {}
        self._skipped: dict[UUID, LiveSpan] = {}

    @property
    @override
    def recording(self) -> bool:
        return self._root.is_recording()

    @property
    @override
    def captures_content(self) -> bool:
        return self._captures_content

    @override
    def attach(self) -> None:
        current.attach(set_span_in_context(self._root, NO_CONTEXT))

    @override
    def begin(self, key: UUID, parent: UUID | None, name: str, *, is_client: bool = False, **attributes: Any) -> None:
        around = self._span_of(parent)
        kind = SpanKind.CLIENT if is_client else SpanKind.INTERNAL
        span = LiveSpan(self._tracer.start_span(name, set_span_in_context(around, NO_CONTEXT), kind), around)
        self._spans[key] = span
        self._set(span, attributes)
        current.attach(set_span_in_context(span))

    @override
    def skip(self, key: UUID, parent: UUID | None) -> None:
        self._skipped[key] = self._span_of(parent)

    @override
    def note(self, key: UUID, **attributes: Any) -> None:
        if (span := self._spans.get(key)) is not None:
            self._set(span, attributes)

    @override
    def end(self, key: UUID, error: str | None = None) -> None:
        span = self._spans.pop(key, None)
        if span is None:
            self._skipped.pop(key, None)
            return
        if error is not None:
            fail(span.span, error)
        span.span.end()

    def close(self) -> None:
        """End the spans that a stopped run has left open."""
        while self._spans:
            _, span = self._spans.popitem()
            fail(span.span, CANCELLED)
            span.span.end()

    def _span_of(self, key: UUID | None) -> LiveSpan:
        found = None if key is None else self._spans.get(key) or self._skipped.get(key)
        return found or self._root

    def _set(self, span: LiveSpan, attributes: dict[str, Any]) -> None:
        shown = {
            name: self._redact(value) if name in CONTENT else value
            for name, value in attributes.items()
            if value is not None and (self._captures_content or name not in CONTENT)
        }
        span.span.set_attributes(attributes_of(shown))
