"""The envelope of JSON-RPC 2.0: calls, results and errors."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from a2a.utils.error_handlers import build_error_details
from a2a.utils.errors import (
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    InvalidParamsError,
    InvalidRequestError,
    JSONParseError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from pydantic_core import from_json
from starlette.responses import Response

from ...api.errors import response_to
from ...api.replies import JsonReply
from ...api.schemas.problems import Problem
from ...errors import AgentQueueError, InvalidRequest, MessageNotFound, NotCancellable
from ...text import storable_value
from .calls import MAX_ID_LENGTH
from .errors import INTERNAL_ERROR

RequestId = str | int | None

OF_THE_CALL = frozenset({400, 404, 409, 410, 422})
"""The statuses of errors that a method answers. Others concern the caller or the server, and keep their status."""


NOT_JSON = "body: expected JSON, with at most 200 levels of arrays and objects, and with no half of a surrogate pair"


class Rpc(NamedTuple):
    """A call of a method."""

    id: RequestId
    method: str
    params: Any


class RefusedCall(Exception):
    """A body that is no call that can be carried out, and the id that it has."""

    def __init__(self, request_id: RequestId, error: A2AError) -> None:
        super().__init__(str(error))
        self.request_id = request_id
        self.error = error


def call_of(body: bytes) -> Rpc:
    """Return the call in a body. Raises RefusedCall."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise RefusedCall(None, JSONParseError(NOT_JSON)) from None
    if isinstance(given, list):
        raise RefusedCall(None, InvalidRequestError("body: expected one call. Send several calls one by one."))
    if not isinstance(given, dict):
        raise RefusedCall(None, InvalidRequestError("body: expected an object with jsonrpc, id, method and params"))
    request_id = given.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | None):
        raise RefusedCall(None, InvalidRequestError("id: expected a text, a whole number or null"))
    if len(str(request_id)) > MAX_ID_LENGTH:
        raise RefusedCall(None, InvalidRequestError(f"id: expected at most {MAX_ID_LENGTH} characters"))
    if given.get("jsonrpc") != "2.0":
        raise RefusedCall(request_id, InvalidRequestError("jsonrpc: expected '2.0'"))
    if not isinstance(given.get("method"), str):
        raise RefusedCall(request_id, InvalidRequestError("method: expected the name of a method"))
    params = given.get("params", {})
    if not isinstance(params, dict):
        raise RefusedCall(request_id, InvalidParamsError("params: expected an object"))
    try:
        storable_value(given)
    except ValueError as error:
        raise RefusedCall(request_id, InvalidParamsError(f"params: {error}")) from None
    return Rpc(request_id, given["method"], params)


def result_reply(request_id: RequestId, result: str, headers: dict[str, str] | None = None) -> Response:
    """Return the reply with a result in JSON."""
    return JsonReply(result_text(request_id, result), headers=headers)


def result_text(request_id: RequestId, result: str) -> str:
    """Return the text of a reply with a result in JSON."""
    return f'{{"jsonrpc":"2.0","id":{json.dumps(request_id)},"result":{result}}}'


def error_reply(request_id: RequestId, error: A2AError) -> Response:
    """Return the reply with an error. Clients read its code, and take no other status for an answer."""
    return JsonReply(_error_text(request_id, error))


def error_text(request_id: RequestId, error: AgentQueueError, about: Mapping[str, str]) -> str:
    """Return the text of a reply whose status was sent before the error came. `about` is added to its data."""
    problem = _problem_of(error)
    told = _error_of(error, problem) or A2AError(problem.detail, {"code": problem.code})
    told.data = {**(told.data or {}), **about}
    return _error_text(request_id, told)


def error_for(error: AgentQueueError) -> A2AError | None:
    """Return the protocol's error; None for an error that keeps its status."""
    return _error_of(error, _problem_of(error))


def _problem_of(error: AgentQueueError) -> Problem:
    return Problem.model_validate_json(bytes(response_to(error).body))


def _error_of(error: AgentQueueError, problem: Problem) -> A2AError | None:
    if problem.status not in OF_THE_CALL:
        return None
    kind: type[A2AError]
    match error:
        case MessageNotFound():
            kind = TaskNotFoundError
        case NotCancellable():
            kind = TaskNotCancelableError
        case InvalidRequest():
            kind = InvalidParamsError
        case _:
            kind = InvalidParamsError if problem.status == 422 else UnsupportedOperationError
    return kind(problem.detail, {"code": problem.code})


def _error_text(request_id: RequestId, error: A2AError) -> str:
    code = JSON_RPC_ERROR_CODE_MAP.get(type(error), INTERNAL_ERROR)
    details = build_error_details(error)
    if type(error) is A2AError and error.data is not None:  # none of the protocol's, which have their own reasons
        details[0]["reason"] = str(error.data["code"]).upper()
    told = {"code": code, "message": error.message, "data": details}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": told})
