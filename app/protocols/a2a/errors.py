"""Errors of requests that no method answers, in the form of JSON-RPC 2.0."""

import json

from starlette.responses import Response

from ...api.replies import JsonReply
from ...api.schemas.problems import Problem

INVALID_REQUEST, INTERNAL_ERROR = -32600, -32603

STATUSES = {422: 400}
"""By the native status, the protocol's."""


def error_of(problem: Problem) -> Response:
    """Return the reply in place of a problem. `data` has the native code of the error."""
    code = INVALID_REQUEST if problem.status < 500 else INTERNAL_ERROR
    error = {"code": code, "message": problem.detail, "data": {"code": problem.code, "status": problem.status}}
    body = {"jsonrpc": "2.0", "id": None, "error": error}
    return JsonReply(json.dumps(body), STATUSES.get(problem.status, problem.status))
