"""Reads the run that a request asks for."""

from typing import Annotated

from fastapi import Depends, Request

from ...api.deps import body_of
from ..priorities import PriorityDep
from .schemas.runs import RunCreate


async def run_in_body(request: Request, priority: PriorityDep = None) -> RunCreate:
    """Return the run in the body. The header's priority is for a run that names none."""
    return (await body_of(request, RunCreate)).with_default(priority)


RunInBodyDep = Annotated[RunCreate, Depends(run_in_body)]
