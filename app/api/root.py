"""Answers `/` with name, version and links."""

from html import escape

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from app import __version__
from app.api.replies import JsonReply
from app.api.schemas import example

NAME = "Agent Queue System"
LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/health",
    "messages": "/messages",
    "threads": "/threads",
    "queue": "/queue",
    "workers": "/workers",
    "dead_letters": "/dead-letters",
    "websocket": "/ws",
}
IN_A_BROWSER = frozenset(LINKS) - {"websocket"}

HEADERS = {"Vary": "Accept"}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{name}</title></head>
<body>
<h1>{name}</h1>
<p>Version {version}</p>
<ul>
{links}
</ul>
</body>
</html>
"""

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
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_root(request: Request) -> Response:
    """JSON, or a page with the same for a client that takes HTML and not JSON, as browsers do. Open to everybody."""
    accepted = request.headers.get("accept", "").lower()
    if "text/html" in accepted and "application/json" not in accepted:
        return HTMLResponse(_page(), headers=HEADERS)
    return JsonReply(About(name=NAME, version=__version__, links=LINKS).model_dump_json(), headers=HEADERS)


def _page() -> str:
    """Return the page. Its links are relative, so that they also work below a proxy's prefix."""
    paths = [(name, path.removeprefix("/")) for name, path in LINKS.items() if name in IN_A_BROWSER]
    links = "\n".join(f'<li><a href="{escape(path)}">{escape(name)}</a></li>' for name, path in paths)
    return PAGE.format(name=escape(NAME), version=escape(__version__), links=links)
