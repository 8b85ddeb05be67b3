"""The path of the surface, routers below it, and the ids in their paths."""

from typing import Annotated

from fastapi import APIRouter, Depends

from ..routing import decoded_id, surface_router

PREFIX = "/langgraph"


def make_router() -> APIRouter:
    """Return a router below the surface's path."""
    return surface_router(PREFIX)


async def run_id_in_path(run_id: str) -> str:
    """Return the decoded id of a run. Paths with a thread's id are routed as they were sent."""
    return decoded_id(run_id, "run_id")


RunIdDep = Annotated[str, Depends(run_id_in_path)]
