"""Turns errors into problems (RFC 9457). Only this module maps errors to statuses."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from ..access.proxies import InvalidForwarding
from ..errors import (
    AgentQueueError,
    AgentUnavailable,
    CommitUnknown,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QueueFull,
    StoreError,
    StoreUnavailable,
    Unauthorized,
)
from ..errors.access import KeysUnavailable, SessionRefused, TooManyAttempts
from ..errors.limits import LimitExceeded, TenantQueueFull, TooManyStreams
from ..errors.threads import Gone
from ..models.messages import MessageState
from .field_errors import field_error
from .limit_headers import refusal_headers
from .replies import JsonReply
from .request_ids import REQUEST_ID
from .schemas.problems import Problem, ProblemError

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
MAX_SHOWN_ERRORS = 20

NOTHING_HERE = (
    "There is nothing at this path. `/docs` shows the paths of this server, `/openapi.json` has them as JSON."
)

NEWER_TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""Names from RFC 9110, which Python has since version 3.13."""

STATUS_BY_ERROR: dict[type[AgentQueueError], int] = {
    InvalidRequest: 422,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    QueueFull: 503,
    AgentUnavailable: 503,
    StoreUnavailable: 503,
    CommitUnknown: 504,
}


class BodyTooLarge(AgentQueueError):
    """The body is larger than MAX_BODY_BYTES."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than the {limit} bytes that this server allows.")


class InvalidBody(AgentQueueError):
    """The body does not fit its model. `errors` are Pydantic's."""

    code = "validation_error"

    def __init__(self, errors: Sequence[Any], model: type[BaseModel]) -> None:
        super().__init__(f"{len(errors)} errors in a {model.__name__}")
        self.errors = errors
        self.model = model


class InvalidQuery(AgentQueueError):
    """The query has parameters that the endpoint does not know."""

    code = "validation_error"

    def __init__(self, message: str, errors: Sequence[ProblemError]) -> None:
        super().__init__(message)
        self.errors = errors


class UnsupportedMediaType(AgentQueueError):
    """The request's media type is not JSON."""

    code = "unsupported_media_type"


class ServerStopping(AgentQueueError):
    """The server was stopped before it could answer. By default, the request changes nothing."""

    code = "server_stopping"

    def __init__(self, told: str = "The server was stopped before it had the answer. Send the request again.") -> None:
        super().__init__(told)


STATUS_BY_ERROR |= {
    BodyTooLarge: 413,
    InvalidForwarding: 400,
    UnsupportedMediaType: 415,
    Unauthorized: 401,
    Forbidden: 403,
    ServerStopping: 503,
    KeysUnavailable: 503,
    TooManyAttempts: 429,
    LimitExceeded: 429,
    TenantQueueFull: 429,
    TooManyStreams: 429,
}


def title_of(status: int) -> str:
    """Return the name of a status. It is the same in every version of Python."""
    return NEWER_TITLES.get(status) or HTTPStatus(status).phrase


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[ProblemError] = (),
    state: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a response whose body is a problem. `state` is the state of the message that is concerned, if any."""
    body = Problem(
        title=title_of(status),
        status=status,
        detail=detail,
        code=code,
        errors=list(errors),
        state=None if state is None else MessageState(state),
    )
    return JsonReply(body.model_dump_json(exclude_none=True), status, headers, PROBLEM_MEDIA_TYPE)


def nothing_here() -> Response:
    """Return the problem with status 404 for a path that has no endpoint."""
    return problem(404, "not_found", NOTHING_HERE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of an operation, for the API's description."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": title_of(status), "content": content} for status in statuses}


def _problem_of(error: AgentQueueError) -> Response:
    status = next((s for kind, s in STATUS_BY_ERROR.items() if isinstance(error, kind)), 500)
    if status == 500 or isinstance(error, StoreError):
        _log_failure(error.code, error)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    if isinstance(error, SessionRefused) and error.cookie is not None:
        headers = {"WWW-Authenticate": "Bearer", "Set-Cookie": error.cookie}
    if isinstance(error, TooManyAttempts):
        headers = {"Retry-After": str(error.retry_after)}
    if isinstance(error, LimitExceeded):
        headers = refusal_headers(error)
    if isinstance(error, TenantQueueFull | TooManyStreams):
        headers = {"Retry-After": str(RETRY_SECONDS)}
    errors = []
    if isinstance(error, InvalidRequest) and error.field is not None:
        errors = [ProblemError(field=error.field, detail=str(error).removeprefix(f"{error.field}: "))]
    detail = error.public if isinstance(error, StoreError) else str(error)
    state = error.state if isinstance(error, Conflict) else None
    return problem(status, error.code, detail, errors=errors, state=state, headers=headers)


def _log_failure(code: str, error: object) -> None:
    logger.error("A request failed: code=%s, error=%s, request_id=%s", code, error, REQUEST_ID.get())


def invalid(errors: Sequence[Any], model: object = None) -> Response:
    """Return Pydantic's errors as one problem. `model` is the body's model, for the names of its fields."""
    found = [field_error(error, model) for error in errors[:MAX_SHOWN_ERRORS]]
    detail = "; ".join(f"{e.field}: {e.detail}" for e in found[:5])
    return problem(422, "validation_error", detail, errors=found)


def response_to(error: Exception) -> Response:
    """Return the problem for an error. The problem of an unexpected error does not show the error's text."""
    match error:
        case InvalidBody():
            return invalid(error.errors, error.model)
        case InvalidQuery():
            return problem(422, error.code, str(error), errors=error.errors)
        case AgentQueueError():
            return _problem_of(error)
        case RequestValidationError():  # any other error of Pydantic is a fault of the server
            return invalid(error.errors())
        case HTTPException():
            code = title_of(error.status_code).lower().replace(" ", "_")
            detail = NOTHING_HERE if error.status_code == 404 else str(error.detail)
            return problem(error.status_code, code, detail, headers=dict(error.headers or {}))
        case _:
            _log_failure("internal_error", type(error).__name__)
            return problem(500, "internal_error", "The server had an unexpected error; its log has the details.")


async def answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response to a request, or to the handshake of a WebSocket.

    Close the WebSocket if the server cannot send a response to a handshake.
    """
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, send)


def allowed_methods(request: Request, error: HTTPException) -> list[str]:
    """Return the methods that the path supports if the error is 405; the methods of all paths for `OPTIONS *`.

    Otherwise return an empty list.
    """
    everywhere = request.method == "OPTIONS" and request.scope["path"] == "*"
    if error.status_code != 405 and not everywhere:
        return []
    found = {"OPTIONS"}
    for route in request.app.router.routes:
        if everywhere or route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def install(app: FastAPI) -> None:
    """Have the application answer every error with a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and (allowed := allowed_methods(request, error)):
            headers = {"Allow": ", ".join(allowed)}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
            detail = f"This path does not support {request.method}. It supports {', '.join(allowed)}."
            error = HTTPException(error.status_code, detail, headers)
        return response_to(error)

    async def leave(_: Request, __: Exception) -> Response:
        return Response(status_code=400)  # the client has disconnected

    app.add_exception_handler(ClientDisconnect, leave)
    for kind in (AgentQueueError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
