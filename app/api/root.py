"""The endpoint `/`: the server's name, its version and links."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import RedirectResponse

from .. import __version__
from ..access.scopes import public
from .replies import JsonReply
from .schemas.examples import example

NAME = "Agent Queue System"
LINKS = {
    "dashboard": "/dashboard/",
    "docs": "/docs",
    "redoc": "/redoc",
    "openapi": "/openapi.json",
    "health": "/health",
    "messages": "/messages",
    "threads": "/threads",
    "queue": "/queue",
    "agents": "/agents",
    "workers": "/workers",
    "dead_letters": "/dead-letters",
    "websocket": "/ws",
}
HEADERS = {"Vary": "Accept"}

router = APIRouter(tags=["about"])


class About(BaseModel):
    """The server's name and version, and the paths of its parts."""

    model_config = example(name=NAME, version=__version__, links=LINKS)

    name: str
    version: str
    links: dict[str, str]


@router.get(
    "/",
    operation_id="getRoot",
    summary="See what this is",
    response_model=About,
    responses={303: {"description": "The dashboard, for a client that accepts HTML and not JSON.", "content": {}}},
)
@public
async def get_root(request: Request) -> Response:
    """Return JSON, or lead to the dashboard if the client accepts HTML and not JSON, as browsers do."""
    accepted = request.headers.get("accept", "").lower()
    if "text/html" in accepted and "application/json" not in accepted:
        return RedirectResponse(LINKS["dashboard"].removeprefix("/"), 303, HEADERS)  # relative, for prefixes of proxies
    return JsonReply(About(name=NAME, version=__version__, links=LINKS).model_dump_json(), headers=HEADERS)
