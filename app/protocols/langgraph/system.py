"""Endpoints about the server itself, which clients ask before they connect."""

import json

from fastapi import Response

from ... import __version__
from ...access.scopes import public
from ...api.replies import JsonReply
from .routing import make_router

router = make_router()

FLAGS = {"assistants": True, "crons": False, "langsmith": False}
"""Abilities that pages look for."""


@router.get("/ok")
@public
async def tell_ok() -> Response:
    """Tell that the server answers."""
    return JsonReply('{"ok":true}')


@router.get("/info")
@public
async def tell_info() -> Response:
    """Return the server's version and abilities."""
    return JsonReply(json.dumps({"version": __version__, "flags": FLAGS}))
