"""Errors in the form of OpenAI's API."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ...api.errors import response_to
from ...api.replies import JsonReply
from ...api.schemas.problems import Problem
from ...errors import AgentNotFound, AgentQueueError, InvalidRequest, Unauthorized
from ...errors.limits import QuotaExceeded

STATUSES = {422: 400, 410: 404}
"""Statuses that OpenAI's clients expect in place of native ones."""

CODES = {AgentNotFound.code: "model_not_found", QuotaExceeded.code: "insufficient_quota"}

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""The types of errors by status. Other errors are the request's below 500 and the server's from there on."""

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's clients not to send a request again, since that would run the agent again."""


class UnsupportedParameter(InvalidRequest):
    """A parameter of OpenAI's API that this server does not serve."""

    code = "unsupported_parameter"


class AccessEnded(Unauthorized):
    """The caller's access ended while a reply was held or streamed."""

    def __init__(self) -> None:
        super().__init__("Your access ended before the answer was complete. Send the request with another key.")


class PreviousResponseNotFound(InvalidRequest):
    """A response cannot follow the one that the request names."""

    code = "previous_response_not_found"

    def __init__(self, told: str) -> None:
        super().__init__(f"previous_response_id: {told}", field="previous_response_id")


def error_of(problem: Problem) -> Response:
    """Return the reply that OpenAI's clients read in place of a problem."""
    status, error = _status_and_object(problem)
    no_retry = status == 409 or problem.code == QuotaExceeded.code  # the next day or month is far
    return JsonReply(json.dumps({"error": error}), status, NO_RETRY if no_retry else None)


def object_of(error: AgentQueueError) -> dict[str, str | None]:
    """Return an error as clients read it in a reply or a stream that has begun."""
    return _status_and_object(Problem.model_validate_json(bytes(response_to(error).body)))[1]


def _status_and_object(problem: Problem) -> tuple[int, dict[str, str | None]]:
    status = STATUSES.get(problem.status, problem.status)
    param = problem.errors[0].field if problem.errors else None
    return status, error_object(status, CODES.get(problem.code, problem.code), problem.detail, param)


def error_object(status: int, code: str, message: str, param: str | None = None) -> dict[str, str | None]:
    """Return an error as OpenAI's clients read it."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "code": code, "param": param}


def failure_frame(error: Mapping[str, Any]) -> bytes:
    """Return the last frame of a completion that ends with an error."""
    return f"data: {json.dumps({'error': error})}\n\n".encode()


def error_event(error: Mapping[str, Any], number: int) -> bytes:
    """Return the last event of a response's stream that ends before the response. SDKs raise for the field `error`.

    `number` is the number of the event before. A client that goes on behind it thus misses nothing.
    """
    data = {**error, "type": "error", "sequence_number": number, "error": error}
    return f"event: error\ndata: {json.dumps(data)}\n\n".encode()
