"""The path of the surface, and the router below it."""

from fastapi import APIRouter

PREFIX = "/api/chat"


def make_router() -> APIRouter:
    """Return a router below the surface's path. The native API's description does not show its routes."""
    return APIRouter(prefix=PREFIX, include_in_schema=False)
