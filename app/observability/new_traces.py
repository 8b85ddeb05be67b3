"""Decides whether a new trace is recorded, before OpenTelemetry makes a span.

Where few traces are sampled, most spans are not recorded. Making and entering one takes 20 microseconds all the same.
"""

from contextvars import ContextVar
from random import getrandbits

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from typing_extensions import override

from ..models.traces import TraceContext

NEXT: ContextVar[int | None] = ContextVar("next_trace_id", default=None)
"""The id of the trace that the next span begins; None for a random id."""

RANDOM = 2
"""The bit of a `traceparent` that says that the trace id is random."""

UNRECORDED_PARENT = f"00-%032x-%016x-{RANDOM:02x}"


class ChosenTraceIds(RandomIdGenerator):
    """Gives the trace id that was chosen, once, else a random one."""

    @override
    def generate_trace_id(self) -> int:
        chosen = NEXT.get()
        if chosen is None:
            return super().generate_trace_id()
        NEXT.set(None)
        return chosen


class NewTraces:
    """Begins traces of which `ratio` are recorded, as a sampler of the SDK with this ratio decides."""

    def __init__(self, ratio: float) -> None:
        self._bound = TraceIdRatioBased(ratio).bound
        self._limit = TraceIdRatioBased.TRACE_ID_LIMIT

    def unrecorded(self) -> TraceContext | None:
        """Return the context of a new trace that is not recorded; None if the next span begins a recorded trace."""
        trace_id = getrandbits(128)
        if trace_id & self._limit < self._bound:
            NEXT.set(trace_id)
            return None
        return TraceContext(UNRECORDED_PARENT % (trace_id, getrandbits(64)))
