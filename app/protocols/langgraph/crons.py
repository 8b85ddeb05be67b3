"""Refuses crons by name: this server has no schedules yet."""

from fastapi import Response

from ...access.scopes import AccessScope, needs
from .errors import not_served
from .routing import make_router

router = make_router()

NO_CRONS = "crons: this server has no schedules. `after_seconds` of a run begins it later, once."


@router.post("/runs/crons")
@router.post("/threads/{thread_id}/runs/crons")
@needs(AccessScope.SUBMIT)
async def create() -> Response:
    """Refuse a new cron."""
    raise not_served(NO_CRONS)


@router.post("/runs/crons/search")
@router.post("/runs/crons/count")
@needs(AccessScope.READ)
async def find() -> Response:
    """Refuse a search for crons."""
    raise not_served(NO_CRONS)


@router.patch("/runs/crons/{cron_id}")
@router.delete("/runs/crons/{cron_id}")
@needs(AccessScope.CONTROL)
async def change(cron_id: str) -> Response:  # noqa: ARG001  the path has it
    """Refuse a change of a cron."""
    raise not_served(NO_CRONS)
