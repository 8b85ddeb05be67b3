"""The path of the surface, routers below it, and the ids in their paths."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends

from ...errors import InvalidRequest
from ...text import storable

PREFIX = "/langgraph"


def make_router() -> APIRouter:
    """Return a router below the surface's path. The native API's description does not show its routes."""
    return APIRouter(prefix=PREFIX, include_in_schema=False)


async def run_id_in_path(run_id: str) -> str:
    """Return the decoded id of a run. Paths with a thread's id are routed as they were sent."""
    try:
        return storable(unquote(run_id, errors="strict"))
    except ValueError:
        raise InvalidRequest("run_id: expected percent-encoded UTF-8", field="run_id") from None


RunIdDep = Annotated[str, Depends(run_id_in_path)]
