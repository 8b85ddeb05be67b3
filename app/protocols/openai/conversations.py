"""Endpoints of conversations, which are threads."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, body_of
from ...api.replies import JsonReply
from ...models.messages import Message, MessageFilter, Page, Thread
from ...models.requests import ThreadCreation
from ...models.threads import ThreadChange
from ...services import Services
from ..runs import runs_of
from .errors import UnsupportedParameter
from .ids import conversation_id_of
from .input_items import input_items_of
from .lists import ListPageDep
from .response_lookup import find_conversation, found_response, read_response
from .routing import ConversationIdDep, make_router
from .schemas.responses import ConversationChange, ConversationCreate

router = make_router()

PAGE_MESSAGES = 100

NO_ITEMS = "items: this server adds items to a conversation by responses only. POST /v1/responses with `conversation`."


@router.post("/conversations")
@needs(AccessScope.SUBMIT)
async def create(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Make an empty conversation."""
    body = await body_of(request, ConversationCreate)
    made = await services.threads.create(principal, ThreadCreation(metadata=body.metadata))
    return JsonReply(json.dumps(_view(made.thread)))


@router.get("/conversations/{conversation_id}")
@needs(AccessScope.READ)
async def get(services: ServicesDep, principal: PrincipalDep, conversation_id: ConversationIdDep) -> Response:
    """Return a conversation."""
    return JsonReply(json.dumps(_view(await find_conversation(services, principal, conversation_id))))


@router.post("/conversations/{conversation_id}")
@needs(AccessScope.CONTROL)
async def change(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, conversation_id: ConversationIdDep
) -> Response:
    """Merge values into the metadata of a conversation."""
    body = await body_of(request, ConversationChange)
    thread = await find_conversation(services, principal, conversation_id)
    changed = await services.threads.change(principal, thread.thread_id, ThreadChange(metadata=body.metadata), by)
    return JsonReply(json.dumps(_view(changed)))


@router.delete("/conversations/{conversation_id}")
@needs(AccessScope.CONTROL)
async def delete(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, conversation_id: ConversationIdDep
) -> Response:
    """Delete a conversation and its responses."""
    thread = await find_conversation(services, principal, conversation_id)
    await services.threads.delete(principal, thread.thread_id, by)
    return JsonReply(json.dumps({"id": conversation_id, "object": "conversation.deleted", "deleted": True}))


@router.get("/conversations/{conversation_id}/items")
@needs(AccessScope.READ)
async def list_items(
    services: ServicesDep, principal: PrincipalDep, conversation_id: ConversationIdDep, page: ListPageDep
) -> Response:
    """List the items of a conversation: the inputs and the outputs of its responses."""
    thread = await find_conversation(services, principal, conversation_id)
    items: list[dict[str, Any]] = []
    async for message in _messages(services, principal, thread, newest_first=page.order == "desc"):
        found = await _items_of(services, principal, message)
        items += found[::-1] if page.order == "desc" else found
        if page.of(items)["has_more"]:
            break
    return JsonReply(json.dumps(page.of(items)))


@router.post("/conversations/{conversation_id}/items")
@needs(AccessScope.SUBMIT)
async def create_items(conversation_id: ConversationIdDep) -> Response:  # noqa: ARG001  the path has it
    """Refuse items that no response adds."""
    raise UnsupportedParameter(NO_ITEMS, field="items")


async def _messages(
    services: Services, caller: Principal, thread: Thread, *, newest_first: bool
) -> AsyncIterator[Message]:
    """Yield the messages of a thread, without their options."""
    seen, cursor = 0, None
    chosen = MessageFilter(thread_id=thread.thread_id)
    while True:
        if newest_first:
            found = await services.queue.list_messages(caller, chosen, Page(PAGE_MESSAGES, cursor))
        else:
            found = await services.threads.list_messages(caller, thread.thread_id, after=seen, limit=PAGE_MESSAGES)
        if not found:
            return
        for message in found:
            yield message
        seen, cursor = found[-1].thread_number, (found[-1].number, "")


async def _items_of(services: Services, caller: Principal, listed: Message) -> list[dict[str, Any]]:
    message = await services.queue.get(caller, listed.id)
    items: list[dict[str, Any]] = []
    for run in await runs_of(services, message):
        items += input_items_of(run)
        items += json.loads(await read_response(services, caller, await found_response(services, run)))["output"]
    return items


def _view(thread: Thread) -> dict[str, Any]:
    return {
        "id": conversation_id_of(thread.thread_id),
        "object": "conversation",
        "created_at": int(thread.created_at.timestamp()),
        "metadata": thread.metadata,
    }
