"""The paths of the surface, and the routers for them."""

from fastapi import APIRouter

from ..routing import surface_router

PREFIX = "/a2a"

CARD_PATH = "/.well-known/agent-card.json"
"""Where clients look for the card of an agent, below the agent's address and below that of the server."""


def make_router() -> APIRouter:
    """Return a router below the surface's path."""
    return surface_router(PREFIX)


def make_root_router() -> APIRouter:
    """Return a router for what clients look for at the root of the server."""
    return surface_router("")
