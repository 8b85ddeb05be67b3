"""Errors of requests that carry no message of the protocol, or that no tool answers, in the form of JSON-RPC 2.0."""

import json

from starlette.responses import Response

from ...api.replies import JsonReply
from ...api.schemas.problems import Problem
from ...errors import InvalidRequest

PARSE_ERROR, INVALID_REQUEST, INTERNAL_ERROR = -32700, -32600, -32603

_CURES = {
    "recursion limit": "JSON with fewer levels of arrays and objects",
    "hex escape": "JSON without half of a surrogate pair in a text",
    "EOF": "complete JSON",
}
"""By a part of what the parser says, what is expected instead."""

STATUSES = {422: 400}
"""By the native status, the protocol's."""


def not_json(error: ValueError) -> InvalidRequest:
    """Return the error for a body that is no JSON, or JSON that is not taken. `error` is the parser's."""
    fault, at, place = str(error).partition(" at ")
    expected = next((cure for part, cure in _CURES.items() if part in fault), "JSON")
    told = f"body: expected {expected}" + (f"; the fault is at {place}" if at else "")
    return InvalidRequest(told, field="body", code="parse_error")


def error_of(problem: Problem) -> Response:
    """Return the reply in place of a problem. `data` has the native code of the error."""
    code = INVALID_REQUEST if problem.status < 500 else INTERNAL_ERROR
    if problem.code == "parse_error":
        code = PARSE_ERROR
    error = {"code": code, "message": problem.detail, "data": {"code": problem.code, "status": problem.status}}
    body = {"jsonrpc": "2.0", "id": None, "error": error}
    return JsonReply(json.dumps(body), STATUSES.get(problem.status, problem.status))
