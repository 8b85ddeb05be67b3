"""Tells clients what the server's operator has to install."""

from fastapi import Response
from starlette.exceptions import HTTPException

from ...access.scopes import AccessScope, needs
from .routing import make_router

TOLD = (
    "AG-UI needs a package that this server does not have. Its operator installs it with "
    "`pip install 'agent-queue-system[agui]'` and starts the server again."
)

router = make_router()


@router.api_route("/{agent}", methods=["GET", "POST"])
@needs(AccessScope.SUBMIT)
async def run() -> Response:
    """Refuse a run."""
    raise HTTPException(501, TOLD)
