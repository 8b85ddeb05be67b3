"""Serves the dashboard: one page, and the files that it loads."""

from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute

from ..access.scopes import public
from ..api.errors import nothing_here
from ..api.security_headers import OF_PAGES
from .assets import Asset, read_assets

PREFIX = "/dashboard"

FOR_GOOD = "public, max-age=31536000, immutable"
"""The Cache-Control of files, whose addresses change with their contents."""


@cache
def dashboard_routes() -> Sequence[BaseRoute]:
    """Return the routes of the dashboard, which are made once in a process. Raises OSError if a file cannot be read.

    All addresses are relative, so that any prefix of a proxy works.
    """
    assets = read_assets()
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("")
    @public
    async def add_slash() -> Response:
        return RedirectResponse(f"{PREFIX.removeprefix('/')}/", 308)

    @router.get("/")
    @public
    async def page(request: Request) -> Response:
        headers = {**OF_PAGES, "Content-Security-Policy": assets.policy, "Cache-Control": "no-cache"}
        return _reply(request, assets.page, headers)

    @router.get("/assets/{digest}/{path:path}")
    @public
    async def file(request: Request, digest: str, path: str) -> Response:
        asset = assets.files.get(path) if digest == assets.digest else None
        return nothing_here() if asset is None else _reply(request, asset, {"Cache-Control": FOR_GOOD})

    return tuple(router.routes)


def _reply(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    headers = {**headers, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
