"""Adds the ids of the current span to log records."""

import logging
from contextvars import ContextVar

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from typing_extensions import override

from ..models.traces import TraceContext

UNRECORDED: ContextVar[TraceContext | None] = ContextVar("unrecorded_trace", default=None)
"""The trace of the current request, if no span of it is recorded."""


class TraceIds(logging.Filter):
    """Sets `trace_id` and `span_id` of records that are logged inside a trace. Lets every record pass."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if "trace_id" in record.__dict__:
            return True
        unrecorded = UNRECORDED.get()
        if unrecorded is not None:
            record.trace_id, record.span_id = unrecorded.trace_id, unrecorded.span_id
            return True
        context = get_current_span().get_span_context()
        if context.is_valid:
            record.trace_id, record.span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        return True
