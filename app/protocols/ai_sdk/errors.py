"""Errors in the form that chat pages of the AI SDK show."""

from starlette.responses import PlainTextResponse, Response

from ...api.schemas.problems import Problem


def error_of(problem: Problem) -> Response:
    """Return the reply whose body is the text of the error. The AI SDK shows the body as the error's message."""
    return PlainTextResponse(problem.detail, problem.status)
