"""The path of the surface, and routers below it."""

from fastapi import APIRouter

PREFIX = "/v1"


def make_router() -> APIRouter:
    """Return a router below the surface's path. The native API's description does not show its routes."""
    return APIRouter(prefix=PREFIX, include_in_schema=False)
