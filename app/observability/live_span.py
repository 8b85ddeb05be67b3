"""A span for OpenTelemetry's current context that never stays there after its end."""

from collections.abc import Mapping

from opentelemetry.trace import Span, SpanContext, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue
from typing_extensions import override


class LiveSpan(Span):
    """Stands for a span while it lasts, and then for the innermost span around it that lasts.

    LangChain may report the end of a call in another Python context than its begin. The current span therefore cannot
    be reset.
    """

    def __init__(self, span: Span, around: "LiveSpan | None" = None) -> None:
        self.span = span
        self._around = around

    @property
    def _live(self) -> Span:
        found = self
        while found._around is not None and not found.span.is_recording():
            found = found._around
        return found.span

    @override
    def get_span_context(self) -> SpanContext:
        return self._live.get_span_context()

    @override
    def is_recording(self) -> bool:
        return self._live.is_recording()

    @override
    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the span ends with what it stands for."""

    @override
    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._live.set_attributes(attributes)

    @override
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._live.set_attribute(key, value)

    @override
    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self._live.add_event(name, attributes, timestamp)

    @override
    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._live.add_link(context, attributes)

    @override
    def update_name(self, name: str) -> None:
        self._live.update_name(name)

    @override
    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._live.set_status(status, description)

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._live.record_exception(exception, attributes, timestamp, escaped)
