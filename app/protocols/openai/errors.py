"""Errors in the form of OpenAI's API."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ...api.replies import JsonReply
from ...api.schemas.problems import Problem
from ...errors import AgentNotFound, InvalidRequest, Unauthorized

STATUSES = {422: 400, 410: 404}
"""Statuses that OpenAI's clients expect in place of native ones."""

CODES = {AgentNotFound.code: "model_not_found"}

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

    def as_object(self) -> dict[str, Any]:
        """Return the error as clients read it inside of a reply."""
        return error_object(401, self.code, str(self))


class PreviousResponseNotFound(InvalidRequest):
    """A response cannot follow the one that the request names."""

    code = "previous_response_not_found"

    def __init__(self, told: str) -> None:
        super().__init__(f"previous_response_id: {told}", field="previous_response_id")


def error_of(problem: Problem) -> Response:
    """Return the reply that OpenAI's clients read in place of a problem."""
    status = STATUSES.get(problem.status, problem.status)
    param = problem.errors[0].field if problem.errors else None
    code = CODES.get(problem.code, problem.code)
    headers = NO_RETRY if status == 409 else None
    return JsonReply(json.dumps({"error": error_object(status, code, problem.detail, param)}), status, headers)


def error_object(status: int, code: str, message: str, param: str | None = None) -> dict[str, str | None]:
    """Return an error as OpenAI's clients read it."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "code": code, "param": param}


def failure_frame(error: Mapping[str, Any]) -> bytes:
    """Return the last frame of a stream that ends with an error."""
    return f"data: {json.dumps({'error': error})}\n\n".encode()
