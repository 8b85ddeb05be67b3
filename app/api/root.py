"""The endpoint `/`: the server's name, its version and links."""

from base64 import b64encode
from hashlib import sha256
from html import escape

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from .. import __version__
from ..access.scopes import public
from .replies import JsonReply
from .schemas.examples import example
from .security_headers import FRAMES, OF_PAGES

NAME = "Agent Queue System"
LINKS = {
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
SECTIONS = {
    "Documentation": {
        "docs": ("Try the API", "Swagger UI: every request, with a form to send it"),
        "redoc": ("Read the API", "Redoc: the same description as one long page"),
        "openapi": ("OpenAPI description", "JSON, for generators of clients"),
    },
    "This server": {
        "health": ("Health", "its checks, agents and settings"),
        "queue": ("Queue", "what waits and what runs"),
        "messages": ("Messages", "the newest first"),
        "threads": ("Threads", "conversations, by their last activity"),
        "agents": ("Agents", "what each takes, returns and shows"),
        "workers": ("Workers", "the processes that run messages"),
        "dead_letters": ("Dead letters", "messages that failed for good"),
    },
}
"""The headings of the page with their links. A link has its name in LINKS, a label and a note."""

HEADERS = {"Vary": "Accept"}
STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --quiet: #556070; --line: #d8dee6; --back: #fff; --link: #0b57b0 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6eaf0; --quiet: #a3aebc; --line: #343d4a; --back: #12171e; --link: #7db4ff }
}
body { margin: 0 auto; max-width: 40rem; padding: 2.5rem 1.25rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2 }
h2 { margin: 2rem 0 .25rem; font-size: 1.05rem }
p { margin: .25rem 0 0 }
p, span { color: var(--quiet) }
ul { margin: 0; padding: 0; list-style: none }
li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .6rem 0; border-bottom: 1px solid var(--line) }
a { flex: 0 0 11rem; color: var(--link) }
@media (max-width: 36rem) { a { flex-basis: 100% } }
a:focus-visible { outline: 2px solid; outline-offset: 2px }
"""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%230b57b0' "
    "d='M1 2h14v3H1zM1 7h14v3H1zM1 12h9v3H1z'/%3E%3C/svg%3E"
)
"""The icon of the page. Without it, browsers would request `/favicon.ico`."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
<header><h1>{name}</h1><p>Version {version}</p></header>
<main>
{sections}
</main>
</body>
</html>
"""
POLICY = "default-src 'none'; style-src 'sha256-{}'; img-src data:; form-action 'none'; {}"

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
@public
async def get_root(request: Request) -> Response:
    """Return JSON, or a page if the client accepts HTML and not JSON, as browsers do."""
    accepted = request.headers.get("accept", "").lower()
    if "text/html" in accepted and "application/json" not in accepted:
        return HTMLResponse(_page(), headers={**HEADERS, **OF_PAGES, "Content-Security-Policy": _policy()})
    return JsonReply(About(name=NAME, version=__version__, links=LINKS).model_dump_json(), headers=HEADERS)


def _page() -> str:
    """Return the page. Its links are relative, so that they work behind a proxy that adds a prefix."""
    sections = "\n".join(_section(*each) for each in SECTIONS.items())
    return PAGE.format(
        name=escape(NAME), version=escape(__version__), icon=escape(ICON), style=STYLE, sections=sections
    )


def _section(heading: str, links: dict[str, tuple[str, str]]) -> str:
    rows = "\n".join(
        f'<li><a href="{escape(LINKS[name].removeprefix("/"))}">{escape(label)}</a> <span>{escape(note)}</span></li>'
        for name, (label, note) in links.items()
    )
    return f"<h2>{escape(heading)}</h2>\n<ul>\n{rows}\n</ul>"


def _policy() -> str:
    """Return the page's Content-Security-Policy, which allows only the page's own style and icon."""
    return POLICY.format(b64encode(sha256(STYLE.encode()).digest()).decode(), FRAMES)
