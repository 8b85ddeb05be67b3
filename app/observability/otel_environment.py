"""Reads the variables of OpenTelemetry, which decide for metrics and traces. There are no settings beside them."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..errors import ConfigurationError
from ..text import is_http_url

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

Environment = Mapping[str, str]

HTTP = "http/protobuf"
DISABLED = "OTEL_SDK_DISABLED"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
SAMPLER, SAMPLER_ARGUMENT = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
RATIO_SAMPLERS = ("traceidratio", "parentbased_traceidratio")
SAMPLERS = ("always_on", "always_off", "parentbased_always_on", "parentbased_always_off", *RATIO_SAMPLERS)
OTLP, CONSOLE, NONE = "otlp", "console", "none"
CAPTURING = {"true": True, "span_only": True, "span_and_event": True, "false": False, "no_content": False}
"""Values of CAPTURE. Events are not made, so the value `event_only` would be ignored and is refused."""

COUNTS = (
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)
MIN_SECRET_LENGTH = 8
MISSING = (
    "{signal} are not pushed: OTLP is configured, but the package of OpenTelemetry is not installed. Install the "
    "extra: pip install 'agent-queue-system[telemetry]'"
)


class Signal(StrEnum):
    """A kind of telemetry, in the words of OpenTelemetry's variables."""

    METRICS = "METRICS"
    TRACES = "TRACES"


def exporters(signal: Signal, environment: Environment = os.environ) -> frozenset[str]:
    """Return the names of the exporters that the variables ask for: `otlp` if only an endpoint is given."""
    if environment.get(DISABLED, "").strip().lower() == "true":
        return frozenset()
    given = {name.strip() for name in environment.get(f"OTEL_{signal}_EXPORTER", "").split(",") if name.strip()}
    if given:
        return frozenset(given - {NONE})
    endpoints = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    return frozenset({OTLP}) if any(map(environment.get, endpoints)) else frozenset()


def protocol(signal: Signal, environment: Environment = os.environ) -> str:
    """Return the protocol that is asked for, HTTP by default."""
    names = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
    return next(filter(None, map(environment.get, names)), HTTP)


def headers(environment: Environment = os.environ) -> list[str]:
    """Return the values of the headers that are sent to collectors, unless they are too short to be secrets."""
    names = ("OTEL_EXPORTER_OTLP_HEADERS", *(f"OTEL_EXPORTER_OTLP_{signal}_HEADERS" for signal in Signal))
    pairs = [pair for name in names for pair in environment.get(name, "").split(",")]
    values = [unquote(pair.partition("=")[2].strip()) for pair in pairs]
    return [value for value in values if len(value) >= MIN_SECRET_LENGTH]


def captures_content(environment: Environment = os.environ) -> bool:
    """Return whether spans have the texts of messages. Raises ConfigurationError."""
    given = environment.get(CAPTURE, "").strip()
    found = CAPTURING.get(given.lower()) if given else False
    if found is None:
        raise ConfigurationError(f"{CAPTURE}: expected {_one_of(CAPTURING)}, got {given!r}")
    return found


def check_traces(environment: Environment = os.environ) -> None:
    """Raise ConfigurationError for a value that OpenTelemetry's SDK would replace by a default."""
    unknown = sorted(exporters(Signal.TRACES, environment) - {OTLP, CONSOLE})
    if unknown:
        expected = _one_of((OTLP, CONSOLE, NONE))
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER: expected {expected}, got {unknown[0]!r}")
    sampler = environment.get(SAMPLER, "").strip().lower()
    _check(SAMPLER, environment, lambda given: given.strip().lower() in SAMPLERS, _one_of(SAMPLERS))
    if sampler in RATIO_SAMPLERS:
        _check(SAMPLER_ARGUMENT, environment, _is_ratio, "a number from 0 to 1")
    for name in COUNTS:
        _check(name, environment, _is_count, "a whole number above 0")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        _check(name, environment, is_http_url, "http:// or https:// with a host")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        _check(name, environment, _is_time, "a number of seconds above 0")
    captures_content(environment)


def resource(instance_id: str, version: str) -> "Resource":
    """Return what describes this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    from opentelemetry.sdk.resources import Resource

    service = {"service.name": "agentq", "service.instance.id": instance_id, "service.version": version}
    return Resource(service).merge(Resource.create()) if _is_named() else Resource.create(service)


def _is_named() -> bool:
    return bool(os.environ.get("OTEL_SERVICE_NAME") or "service." in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))


def _check(name: str, environment: Environment, fits: Callable[[str], bool], expected: str) -> None:
    """Raise ConfigurationError if the variable has a value that does not fit. An empty value counts as none."""
    given = environment.get(name, "")
    if given and not fits(given):
        shown = "a value that is not shown" if "@" in given else repr(given)
        raise ConfigurationError(f"{name}: expected {expected}, got {shown}")


def _one_of(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 2**31


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_ratio(text: str) -> bool:
    return 0 <= _number(text) <= 1


def _is_time(text: str) -> bool:
    return 0 < _number(text) < math.inf
