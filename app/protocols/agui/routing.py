"""The path of the surface, and the router below it."""

from fastapi import APIRouter

from ..routing import surface_router

PREFIX = "/agui"


def make_router() -> APIRouter:
    """Return a router below the surface's path."""
    return surface_router(PREFIX)
