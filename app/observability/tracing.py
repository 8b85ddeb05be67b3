"""Follows messages in traces. These classes record nothing: no exporter is configured.

They still pass on the trace context of a caller: it is kept with the message. A process with an exporter therefore goes
on with the trace. `app.observability.spans` records spans.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from ..models.attempts import Claim, Outcome
from ..models.messages import NewMessage
from ..models.traces import Trace, TraceContext

INCOMING: ContextVar[TraceContext | None] = ContextVar("incoming_trace", default=None)
"""The trace context that the current request names; None if it names none."""


class RunTrace(Protocol):
    """The place of a run in a trace, for the agent's code and for spans of what the agent does.

    Spans are named by the ids of LangChain's runs. Methods are safe to use from any thread.
    """

    @property
    def recording(self) -> bool:
        """Return whether the trace is recorded."""

    @property
    def captures_content(self) -> bool:
        """Return whether spans have the texts of messages, and the arguments and results of tools."""

    def attach(self) -> None:
        """Have OpenTelemetry's spans of the current Python context begin inside this run."""

    def begin(self, key: UUID, parent: UUID | None, name: str, *, is_client: bool, **attributes: Any) -> None:
        """Begin a span inside the span `parent`, and have spans of the current Python context begin inside it.

        Attributes are given by the names of `app.observability.trace_attributes`.
        """

    def skip(self, key: UUID, parent: UUID | None) -> None:
        """Have spans whose parent is `key` begin inside the span `parent`."""

    def note(self, key: UUID, **attributes: Any) -> None:
        """Set attributes of a span. Texts of content lose their secrets."""

    def end(self, key: UUID, error: str | None = None) -> None:
        """End a span. `error` is the class of the error that ended it. For a key of `skip`, only forget the key."""


class Receiving:
    """A request that stores messages, or an answer to one. Use it as a context manager around the store's call.

    `context` is the request's place in a trace, None if it is in none. `traceparent` names the span of the request or
    of its caller; None if there is neither.
    """

    def __init__(self, context: TraceContext | None, traceparent: str | None) -> None:
        self.context = context
        self.traceparent = traceparent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    @property
    def trace(self) -> str | None:
        """Return the trace of the messages that this request submits; None if it is in no trace."""
        return None if self.context is None else self.context.begun

    def describe(self, new: Sequence[NewMessage]) -> None:
        """Note which messages the request submits."""

    def answered(self, trace: str | None) -> str | None:
        """Return the new trace of a message that this request answers; None if its trace stays as it is."""
        if self.context is None:
            return None
        if trace is None:
            return self.context.begun
        return str(Trace.of(trace)._replace(answer=self.context.parent)) if self.context.sampled else None


class AttemptTrace:
    """The spans of one attempt. Use it as a context manager around the attempt, on its own task."""

    run: RunTrace | None = None
    """The place of the agent's run; None if nothing is traced."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def ran(self, outcome: Outcome) -> str | None:  # noqa: ARG002  nothing is recorded here
        """End the span of the agent's run.

        Return the new trace of the message, which lets its next attempt link to this one; None if it stays as it is.
        """
        return None

    def stored(self, outcome: Outcome) -> None:
        """Note that the outcome is stored."""


class Tracing:
    """Makes the spans of this process. This class makes none."""

    def start(self) -> None:
        """Begin to export."""

    async def stop(self) -> None:
        """Export what has been recorded, for a bounded time. A second call does nothing."""

    def receive(
        self,
        operation: str,  # noqa: ARG002  nothing is recorded here
        trace: str | None = None,  # noqa: ARG002  as above
    ) -> Receiving:
        """Return the span of a request: `submit`, or `resume` with the trace of its message."""
        incoming = INCOMING.get()
        return UNTRACED if incoming is None else Receiving(incoming, incoming.parent)

    def attempt(self, claim: Claim) -> AttemptTrace:  # noqa: ARG002  as above
        """Return the spans of an attempt."""
        return NOT_TRACED


NOT_TRACED = AttemptTrace()
UNTRACED = Receiving(None, None)
