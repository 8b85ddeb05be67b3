"""Errors in the form of LangGraph's server."""

import json

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...api.replies import JsonReply
from ...api.schemas.problems import Problem


def error_of(problem: Problem) -> Response:
    """Return the reply whose `detail` the SDKs show. They tell the kinds of errors apart by the status alone."""
    return JsonReply(json.dumps({"detail": problem.detail}), problem.status)


def not_served(detail: str) -> HTTPException:
    """Return the error for a part of LangGraph's API that this server does not have. The text names it."""
    return HTTPException(501, detail)
