"""Spans in memory: what a test's servers record, when another package has set OpenTelemetry up."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanContext

from app.observability.span_contexts import traceparent_of


class Spans:
    """Keeps the finished spans."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def use(self, monkeypatch: pytest.MonkeyPatch) -> "Spans":
        """Have servers that start from now on record here."""
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: self.provider)
        return self

    @property
    def all(self) -> list[ReadableSpan]:
        """The finished spans in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """The finished spans with this name."""
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only finished span with this name."""
        (found,) = self.named(name)
        return found

    def path(self, span: ReadableSpan) -> list[str]:
        """The names of the spans around a span, the outermost first, then its own."""
        by_id = {context_of(each).span_id: each for each in self.all}
        around = None if span.parent is None else by_id.get(span.parent.span_id)
        return [*([] if around is None else self.path(around)), span.name]


def context_of(span: ReadableSpan) -> SpanContext:
    """The context of a finished span."""
    context: SpanContext | None = span.get_span_context()
    assert context is not None
    return context


def parent_of(span: ReadableSpan) -> str:
    """The `traceparent` that names this span."""
    return traceparent_of(context_of(span))


def links_of(span: ReadableSpan) -> list[str]:
    """The `traceparent`s of the spans that a span links to."""
    return [traceparent_of(link.context) for link in span.links]
