"""Reads the errors of model providers' clients: HTTP status, error names, and the pause before a retry.

Clients store these in different places. Errors are recognized by their attributes and class names, so no client is
imported. Checked with openai 3.54, anthropic 2.14, google-genai 3.6, google-api-core 2.44, grpcio 1.85, botocore 1.44,
httpx 0.28, aiohttp 3.14, requests 2.34, litellm 1.110, ollama 0.6 and cohere 7.3. Pure.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from ..text import escaped
from .failures import attribute, class_names, module_names, text_of

MAX_LEAVES = 500
MAX_SECONDS = 1e9
MAX_TEXT_LENGTH = 8_000
"""Characters of each text that are searched."""

PACKAGES = frozenset(
    {
        "aiohttp", "anthropic", "azure", "boto3", "botocore", "cohere", "google", "groq", "grpc", "http", "httpx",
        "httpx2", "huggingface_notifier", "langchain_anthropic", "langchain_aws", "langchain_google_genai",
        "langchain_openai", "litellm", "mistralai", "ollama", "openai", "requests", "together", "urllib", "urllib3",
    }
)  # fmt: skip
"""Packages in whose errors `code` or `status` is an HTTP status."""

CLIENT_NAME = re.compile(
    r"HTTP|Http|API|Api|Rpc|RPC|ClientError|ServerError|ResponseError|ResponseException|RateLimit|TooManyRequests"
    r"|ResourceExhausted|ServiceUnavailable|BadGateway|GatewayTimeout|DeadlineExceeded|Unauthenticated|Unauthorized"
    r"|PermissionDenied|Forbidden|BadRequest|InvalidArgument|Throttl|Overloaded"
)
"""Classes (or bases) whose `code` or `status` is an HTTP status in any package."""

CLIENT_ATTRIBUTES = ("headers", "request_info", "grpc_status_code")
"""Attributes that only errors of HTTP and gRPC clients have."""

CONNECTION_NAME = re.compile("Connect|Timeout|ReadError|WriteError|ProtocolError")
MAX_HOST_LENGTH = 255

GRPC_STATUSES = {
    "CANCELLED": 503, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 400, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}  # fmt: skip
"""The HTTP status for each gRPC status, almost as Google maps them."""

NAME_KEYS = frozenset({"code", "type", "status", "reason", "__type"})
DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class ProviderError(NamedTuple):
    """The content of a provider's error. `names` are in lower case, `text` joins all texts, `pause` is in seconds."""

    status: int | None
    names: frozenset[str]
    text: str
    pause: float | None


def read_provider_error(error: BaseException, now: datetime) -> ProviderError | None:
    """Return the content of an error of a provider's client; None for other errors."""
    response = attribute(error, "response")
    status = _plain_status(error) or _plain_status(response)
    if status is None and response is None and not _is_of_client(error):
        return None
    leaves = [
        leaf
        for source in (response, attribute(error, "body"), attribute(error, "details"))
        for leaf in _leaves_of(source)
    ]
    names = {value.lower() for key, value in leaves if key.lower() in NAME_KEYS and type(value) is str}
    own_names = (attribute(error, name) for name in NAME_KEYS)
    names |= {value.lower() for value in own_names if type(value) is str}
    if grpc := _grpc_name(error):
        names.add(grpc.lower())
    texts = [text_of(error)[:MAX_TEXT_LENGTH], *(value for _, value in leaves if type(value) is str)]
    return ProviderError(
        status=status or _status_by_code(error, leaves) or _status_of_names(names),
        names=frozenset(names),
        text="\n".join(texts)[: 4 * MAX_TEXT_LENGTH],
        pause=_pause(error, response, leaves, now),
    )


def address_of(error: BaseException) -> str | None:
    """Return host and port of the server that an HTTP client could not reach; None for other errors."""
    is_connection_error = any(CONNECTION_NAME.search(name) for name in class_names(error))
    if not is_connection_error or not module_names(error) & PACKAGES or _plain_status(error) is not None:
        return None
    url = attribute(attribute(error, "request"), "url")
    host, port = attribute(url, "host"), attribute(url, "port")
    if type(host) is not str or not host:
        return None
    if type(port) is not int:
        port = 80 if attribute(url, "scheme") == "http" else 443
    shown = escaped(host[:MAX_HOST_LENGTH])
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def _is_of_client(error: BaseException) -> bool:
    return (
        bool(module_names(error) & PACKAGES)
        or any(map(CLIENT_NAME.search, class_names(error)))
        or any(attribute(error, name) is not None for name in CLIENT_ATTRIBUTES)
        or (type(status := attribute(error, "status")) is str and status in GRPC_STATUSES)
    )


def _as_status(value: object) -> int | None:
    """Return the value if it is an HTTP error status; otherwise None.

    `isinstance` would call the `__class__` of a foreign object.
    """
    if not issubclass(type(value), int) or type(value) is bool:
        return None
    status = int.__int__(value)  # type: ignore[arg-type]  # it may be an enum member
    return status if 400 <= status <= 599 else None


def _plain_status(source: object) -> int | None:
    """Return the HTTP status from `status_code`, which never means anything else."""
    return _as_status(attribute(source, "status_code"))


def _status_by_code(error: BaseException, leaves: list[tuple[str, object]]) -> int | None:
    """Return the HTTP status in `status`, `code` or the body of an error; None if there is none.

    The error must be of a known client. Other errors use these names for other values.
    """
    response = attribute(error, "response")
    for source in (error, response):
        for name in ("status", "code", "http_status"):
            if (status := _as_status(attribute(source, name))) is not None:
                return status
    for key, value in leaves:
        if key in ("HTTPStatusCode", "code", "status") and (status := _as_status(value)) is not None:
            return status
    return None


def _status_of_names(names: set[str]) -> int | None:
    return next((status for name, status in GRPC_STATUSES.items() if name.lower() in names), None)


def _grpc_name(error: BaseException) -> str | None:
    """Return the name of the gRPC status, from an attribute or from the method `code`."""
    status = attribute(error, "grpc_status_code")
    if status is None and "RpcError" in class_names(error):
        try:
            status = error.code()  # type: ignore[attr-defined]  # caught
        except Exception:  # noqa: BLE001  the method may be missing or raise
            return None
    name = attribute(status, "name")
    return name if type(name) is str else None


def _leaves_of(source: object) -> Iterator[tuple[str, object]]:
    """Yield key and value of each text or number in nested plain objects and lists."""
    if type(source) is str:
        yield "body", source[:MAX_TEXT_LENGTH]
        return
    waiting: list[tuple[str, object]] = [("", source)]
    for _ in range(MAX_LEAVES):
        if not waiting:
            return
        key, value = waiting.pop()
        if type(value) is dict:
            waiting += [(name, inner) for name, inner in list(value.items())[:MAX_LEAVES][::-1] if type(name) is str]
        elif type(value) is list or type(value) is tuple:
            waiting += [(key, inner) for inner in value[:MAX_LEAVES][::-1]]
        elif type(value) is str:
            yield key, value[:MAX_TEXT_LENGTH]
        elif type(value) is int or type(value) is float:
            yield key, value


def _pause(error: BaseException, response: object, leaves: list[tuple[str, object]], now: datetime) -> float | None:
    """Return the seconds that the server asks clients to wait before a retry; None if it does not say."""
    found = {key.lower(): value for key, value in leaves if key.lower() in ("retry-after", "retry-after-ms")}
    for source in (error, response):
        found |= _retry_headers(attribute(source, "headers"))
    seconds = _milliseconds(found.get("retry-after-ms"))
    if seconds is None:
        seconds = _seconds(found.get("retry-after"), now)
    if seconds is None:
        seconds = _retry_info(leaves, attribute(error, "details"))
    return None if seconds is None else max(seconds, 0.0)


def _retry_headers(headers: Any) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("retry-after-ms", "Retry-After-Ms", "retry-after", "Retry-After"):
        try:
            value = headers.get(name)
        except Exception:  # noqa: BLE001  no headers, or a foreign object that raises
            return found
        if value is not None and name.lower() not in found:
            found[name.lower()] = value
    return found


def _milliseconds(value: object) -> float | None:
    seconds = _number(value)
    return None if seconds is None else seconds / 1000


def _seconds(value: object, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None if it is neither.

    A date is counted from `now`.
    """
    seconds = _number(value)
    if seconds is not None or type(value) is not str:
        return seconds
    try:
        moment = parsedate_to_datetime(value[:100])
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    if type(value) not in (int, float, str, bytes):
        return None
    text = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value))[:1000].strip()
    return min(float(text), MAX_SECONDS) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def _retry_info(leaves: list[tuple[str, object]], details: object) -> float | None:
    """Return the seconds of Google's RetryInfo; None if there is none.

    JSON (`leaves`) has the seconds as a text such as `3.5s`. google-api-core (`details`) has an object with `seconds`.
    """
    for key, value in leaves:
        if key in ("retryDelay", "retry_delay") and type(value) is str and (found := DELAY.fullmatch(value)):
            return float(found[1])
    for detail in details[:MAX_LEAVES] if type(details) is list else ():
        delay = attribute(detail, "retry_delay")
        seconds, nanoseconds = attribute(delay, "seconds"), attribute(delay, "nanos") or 0
        if type(seconds) is int and type(nanoseconds) is int and (seconds or nanoseconds):
            return seconds + nanoseconds / 1e9
    return None
