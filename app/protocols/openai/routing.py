"""The path of the surface, routers below it, and the ids of conversations in their paths."""

from typing import Annotated

from fastapi import APIRouter, Depends

from ..routing import decoded_id, surface_router

PREFIX = "/v1"


def make_router() -> APIRouter:
    """Return a router below the surface's path."""
    return surface_router(PREFIX)


async def conversation_id_in_path(conversation_id: str) -> str:
    """Return the decoded id of a conversation. Paths with such an id are routed as they were sent."""
    return decoded_id(conversation_id, "conversation_id")


ConversationIdDep = Annotated[str, Depends(conversation_id_in_path)]
