"""Threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import models
from ..calls import threads as calls
from ..options import OneOrMore, texts
from ..pages import AsyncPages

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncThreads:
    """Conversations, and what the agent keeps of them."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        status: str | None = None,
        subject: str | None = None,
        q: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        thread_id: OneOrMore | None = None,
        limit: int | None = None,
    ) -> AsyncPages[models.Thread]:
        """Return the threads, newest activity first."""
        query = {"status": status, "subject": subject, "q": q, "sort_by": sort_by, "sort_order": sort_order}
        return self._client.pages(calls.threads({**query, "thread_id": texts(thread_id), "limit": limit}, metadata))

    async def create(
        self,
        thread_id: str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        subject: str | None = None,
        ttl: float | None = None,
        if_exists: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Thread:
        """Make a thread without messages. `ttl` is in minutes without activity."""
        body = {"thread_id": thread_id, "name": name, "metadata": metadata, "subject": subject, "ttl": ttl}
        body["if_exists"] = if_exists
        return await self._client.call(calls.create_thread(body, idempotency_key))

    async def get(self, thread_id: str) -> models.Thread:
        """Return a thread."""
        return await self._client.call(calls.thread(thread_id))

    async def change(self, thread_id: str, changes: Mapping[str, Any]) -> models.Thread:
        """Change the `name` and the `ttl` of a thread, and merge `metadata` into its own. A null removes."""
        return await self._client.call(calls.change_thread(thread_id, changes))

    async def delete(self, thread_id: str) -> None:
        """Delete a thread with its messages. Raises Conflict while one runs."""
        await self._client.call(calls.delete_thread(thread_id))

    def messages(self, thread_id: str, *, limit: int | None = None) -> AsyncPages[models.Message]:
        """Return the messages of a thread, oldest first."""
        return self._client.pages(calls.thread_messages(thread_id, limit))

    async def fork(
        self,
        thread_id: str,
        *,
        checkpoint_id: str | None = None,
        message_id: str | None = None,
        new_thread_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> models.Thread:
        """Begin a new thread with a state of this one."""
        body = {"checkpoint_id": checkpoint_id, "message_id": message_id, "thread_id": new_thread_id}
        return await self._client.call(calls.fork(thread_id, {**body, "name": name, "metadata": metadata}))

    async def state(
        self, thread_id: str, *, checkpoint_id: str | None = None, agent: str | None = None, subgraphs: bool = False
    ) -> models.ThreadState:
        """Return what the agent keeps of a thread."""
        query = {"checkpoint_id": checkpoint_id, "agent": agent, "subgraphs": subgraphs or None}
        return await self._client.call(calls.state(thread_id, query))

    async def update_state(
        self,
        thread_id: str,
        values: Any,
        *,
        as_node: str | None = None,
        checkpoint_id: str | None = None,
        agent: str | None = None,
    ) -> models.StateUpdated:
        """Change the state as if a node had returned `values`. Raises Conflict while a message runs."""
        options = {"as_node": as_node, "checkpoint_id": checkpoint_id, "agent": agent}
        given = {name: value for name, value in options.items() if value is not None}
        return await self._client.call(calls.update_state(thread_id, {"values": values, **given}))

    def history(
        self, thread_id: str, *, agent: str | None = None, limit: int | None = None
    ) -> AsyncPages[models.ThreadState]:
        """Return the states that are still kept, newest first."""
        return self._client.pages(calls.history(thread_id, {"agent": agent, "limit": limit}))
