"""Requests to read a stream."""

from enum import StrEnum
from typing import NamedTuple

from fastapi import Request

from ...api.uvicorn_protocol import HEAD_EXTENSION
from ...errors import InvalidRequest
from .places import BEGINNING

OFFSET, LIVE, CURSOR = "offset", "live", "cursor"


class Live(StrEnum):
    """How to wait for what follows."""

    LONG_POLL = "long-poll"
    SSE = "sse"


class ReadRequest(NamedTuple):
    """The request of a reader. `live` None asks for what there is.

    `resumes` tells that an EventSource comes back by itself, with the offset that it has seen last.
    """

    offset: str
    live: Live | None
    cursor: str | None
    resumes: bool
    etags: str

    @classmethod
    def of(cls, request: Request) -> "ReadRequest":
        """Return what a request asks for. Raises InvalidRequest."""
        offset, live = _one(request, OFFSET), _one(request, LIVE)
        if live is not None and live not in list(Live):
            raise InvalidRequest("live: expected long-poll or sse", field=LIVE)
        if live is not None and offset is None:
            raise InvalidRequest(f"offset: live={live} needs an offset; send offset=-1 to begin", field=OFFSET)
        if offset == "":
            raise InvalidRequest("offset: it is empty; send offset=-1 to begin", field=OFFSET)
        last_seen = request.headers.get("last-event-id") if live == Live.SSE else None
        return cls(
            last_seen or offset or BEGINNING,
            None if live is None else Live(live),
            request.query_params.get(CURSOR),
            bool(last_seen),
            request.headers.get("if-none-match", ""),
        )


def is_head(request: Request) -> bool:
    """Return whether a request is a HEAD, which is routed like a GET."""
    return HEAD_EXTENSION in request.scope.get("extensions", {})


def _one(request: Request, name: str) -> str | None:
    """Return the value of a query parameter; None without one. Raises InvalidRequest if it is there twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(f"{name}: give it once", field=name)
    return values[0] if values else None
