"""The path of the surface, routers below it, and the ids of conversations in their paths."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends

from ...errors import InvalidRequest
from ...text import storable

PREFIX = "/v1"


def make_router() -> APIRouter:
    """Return a router below the surface's path. The native API's description does not show its routes."""
    return APIRouter(prefix=PREFIX, include_in_schema=False)


async def conversation_id_in_path(conversation_id: str) -> str:
    """Return the decoded id of a conversation. Paths with such an id are routed as they were sent."""
    try:
        return storable(unquote(conversation_id, errors="strict"))
    except ValueError:
        raise InvalidRequest("conversation_id: expected percent-encoded UTF-8", field="conversation_id") from None


ConversationIdDep = Annotated[str, Depends(conversation_id_in_path)]
