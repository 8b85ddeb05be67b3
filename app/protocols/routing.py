"""Routers of surfaces, and the ids in their paths."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request

from ..api.request_keys import key_of
from ..errors import InvalidRequest
from ..text import storable


def surface_router(prefix: str) -> APIRouter:
    """Return a router below a surface's path. The native API's description does not show its routes."""
    return APIRouter(prefix=prefix, include_in_schema=False)


async def key_name(request: Request) -> str | None:
    """Return the request's Idempotency-Key; None if there is none. Raises InvalidRequest."""
    return key_of(request)


KeyNameDep = Annotated[str | None, Depends(key_name)]


def decoded_id(text: str, field: str) -> str:
    """Return an id of a path that is routed as it was sent. `field` names it. Raises InvalidRequest."""
    try:
        return storable(unquote(text, errors="strict"))
    except ValueError:
        raise InvalidRequest(f"{field}: expected percent-encoded UTF-8", field=field) from None
