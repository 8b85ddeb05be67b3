"""A whole reply of the server, and the error that a refusal means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    APIError,
    AuthenticationError,
    CommitUnknown,
    Conflict,
    FieldProblem,
    Gone,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    QueueFull,
    ServerFault,
    ServerTooOld,
    ServerUnavailable,
    TooManyRequests,
    UnexpectedReply,
)

SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Reply:
    """A reply with its body. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def request_id(self) -> str | None:
        """Return the id by which the server, or a proxy before it, knows the request."""
        return self.headers.get("x-request-id")

    @property
    def retry_after(self) -> float | None:
        """Return the seconds that the server asks to wait, None if it asks for none."""
        return seconds_of(self.headers.get("retry-after"))

    def json(self) -> Any:
        """Return the body as JSON. Raises UnexpectedReply for a body that is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            shown = self.content[:SHOWN_CHARACTERS].decode("utf-8", "replace")
            raise UnexpectedReply(
                f"The reply with status {self.status} is not JSON: {shown!r}.", request_id=self.request_id
            ) from error


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, which is a number or a date. None for what is neither."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


INVALID = frozenset((400, 408, 413, 414, 415, 422, 431))
GATEWAY = frozenset((502, 503, 504))

KINDS: dict[int, tuple[type[APIError], str]] = {
    401: (AuthenticationError, "Give a valid key as `api_key` or in AGENTQ_API_KEY."),
    403: (PermissionDenied, "Use a key whose scopes allow this request."),
    404: (NotFound, "Check the id, and that the key belongs to the same tenant."),
    409: (Conflict, "Read the present state, then decide whether the request still makes sense."),
    410: (Gone, "Begin anew, since it cannot be brought back."),
    429: (TooManyRequests, "Send fewer requests, and wait for `retry_after` seconds."),
}


def refusal(reply: Reply, method: str, path: str) -> APIError | ServerTooOld | UnexpectedReply:
    """Return the error for a reply whose status is not a success."""
    problem = _problem(reply)
    code = problem.get("code")
    request_id = reply.request_id or problem.get("request_id")
    is_ours = isinstance(code, str)
    if (is_ours and code in ("not_found", "method_not_allowed")) or (not is_ours and reply.status in (404, 405)):
        return ServerTooOld(f"The server does not know {method} {path}.", request_id=request_id)
    if not is_ours and reply.status < 500 and reply.status not in KINDS:
        shown = reply.content[:SHOWN_CHARACTERS].decode("utf-8", "replace")
        return UnexpectedReply(
            f"{method} {path} was answered with status {reply.status}: {shown!r}.", request_id=request_id
        )
    kind, cure = _kind(reply.status, code)
    detail = problem.get("detail") or problem.get("title") or f"status {reply.status}"
    return kind(
        f"{method} {path} was refused: {str(detail).rstrip('.')}.",
        status=reply.status,
        code=code if isinstance(code, str) else f"http_{reply.status}",
        cure=cure,
        request_id=request_id,
        fields=_fields(problem.get("errors")),
        state=problem.get("state"),
        retry_after=reply.retry_after,
        problem=problem,
    )


def _kind(status: int, code: object) -> tuple[type[APIError], str]:
    if code == "queue_full":
        return QueueFull, "Submit later, since nothing was stored; `retry_after` says when."
    if code == "commit_unknown":
        return CommitUnknown, "Repeat the call with the same idempotency key, or look whether it was stored."
    if status in KINDS:
        return KINDS[status]
    if status in INVALID:
        return InvalidRequest, "Correct the request; `fields` names what is wrong."
    if status in GATEWAY:
        return ServerUnavailable, "Try again later; `retry_after` says when, if the server knows."
    return ServerFault, "Look into the server's log."


def _problem(reply: Reply) -> dict[str, Any]:
    try:
        problem = json.loads(reply.content)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _fields(errors: object) -> list[FieldProblem]:
    if not isinstance(errors, list):
        return []
    return [
        FieldProblem(str(error.get("field", "")), str(error.get("detail", "")))
        for error in errors
        if isinstance(error, dict)
    ]
