"""Errors of streams: problems (RFC 9457) with the statuses of the protocol."""

from starlette.responses import Response

from ...api.errors import PROBLEM_MEDIA_TYPE, title_of
from ...api.schemas.problems import Problem
from ...errors import InvalidRequest
from ...errors.threads import Gone

STATUSES = {422: 400}
"""By the native status, the protocol's."""


class ThreadReplaced(Gone):
    """The offset is of an earlier thread with the same id."""

    code = "thread_replaced"

    def __init__(self) -> None:
        super().__init__("The offset is of a thread that was deleted. Another one has its id: begin with offset=-1.")


def invalid_offset(told: str) -> InvalidRequest:
    """Return the error for an offset that the stream does not have. `told` says what is wrong with it."""
    return InvalidRequest(f"offset: {told}. Take it from Stream-Next-Offset, or send -1 or now", field="offset")


def error_of(problem: Problem) -> Response:
    """Return the reply in place of a problem of the native API."""
    status = STATUSES.get(problem.status, problem.status)
    told = problem.model_copy(update={"status": status, "title": title_of(status)})
    return Response(told.model_dump_json(exclude_none=True), status, media_type=PROBLEM_MEDIA_TYPE)
