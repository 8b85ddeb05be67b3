"""Makes the tracing of a process: by OpenTelemetry's variables, or with a provider that another package has set."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import __version__
from .otel_environment import (
    CONSOLE,
    HTTP,
    MISSING,
    OTLP,
    SAMPLER,
    SAMPLER_ARGUMENT,
    Signal,
    captures_content,
    check_traces,
    exporters,
    protocol,
    resource,
)
from .tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from .new_traces import NewTraces

logger = logging.getLogger(__name__)

OURS = "made_by_agentq"
"""The attribute of a provider that this program made."""


def make_tracing(redact: Callable[[str], str]) -> Tracing:
    """Return the tracing of this process. `redact` removes secrets from texts. Raises ConfigurationError.

    Without an exporter nothing of OpenTelemetry is imported.
    """
    check_traces()
    wanted = exporters(Signal.TRACES)
    found = _provider_of_others()
    if found is not None:
        from .spans import SpanTracing

        return SpanTracing(found, redact=redact, captures_content=captures_content())
    if not wanted:
        return Tracing()
    try:
        tracing = _exported(wanted, redact)
    except ImportError:
        logger.warning(MISSING.format(signal="Traces"))
        return Tracing()
    logger.info("Traces are recorded: exporters=%s", ", ".join(sorted(wanted)))
    return tracing


def _new_traces() -> "NewTraces | None":
    """Return what decides on new traces as the sampler does; None if the sampler takes no heed of parents."""
    from .new_traces import NewTraces

    sampler = os.environ.get(SAMPLER, "").strip().lower() or "parentbased_always_on"
    if sampler == "parentbased_traceidratio":
        return NewTraces(float(os.environ.get(SAMPLER_ARGUMENT, "") or 1))
    return NewTraces(1) if sampler == "parentbased_always_on" else None


def _exported(wanted: frozenset[str], redact: Callable[[str], str]) -> Tracing:
    """Return tracing with an SDK of its own. Raises ImportError without OpenTelemetry's packages."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    from .new_traces import ChosenTraceIds
    from .spans import SpanTracing

    provider = TracerProvider(
        resource=resource(f"{socket.gethostname()}-{os.getpid()}", __version__),
        shutdown_on_exit=False,
        id_generator=ChosenTraceIds(),
    )
    setattr(provider, OURS, True)
    if OTLP in wanted:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        if (asked := protocol(Signal.TRACES)) != HTTP:
            logger.warning("Traces are pushed by OTLP as %s, not as %s", HTTP, asked)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if CONSOLE in wanted:
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    if _global_provider() is None:
        trace.set_tracer_provider(provider)  # instrumentation in the code of agents records with it too
    return SpanTracing(
        provider,
        redact=redact,
        captures_content=captures_content(),
        shut_down=provider.shutdown,
        new_traces=_new_traces(),
    )


def _global_provider() -> "TracerProvider | None":
    """Return the provider that this process has set for all packages; None if there is none."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider: TracerProvider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider) else provider


def _provider_of_others() -> "TracerProvider | None":
    """Return the provider that another package has set, such as `opentelemetry-instrument`; None if there is none."""
    provider = _global_provider()
    return None if provider is None or getattr(provider, OURS, False) else provider
