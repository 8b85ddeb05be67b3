"""Errors in the form of the event `RUN_ERROR`: a text and a code."""

from starlette.responses import JSONResponse, Response

from ...api.schemas.problems import Problem


def error_of(problem: Problem) -> Response:
    """Return the reply that clients of AG-UI show: its JSON has the fields of `RUN_ERROR`."""
    return JSONResponse({"message": problem.detail, "code": problem.code}, problem.status)
