"""Holds the reply of a chat completion until its run has ended."""

import json
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from ...access.principals import Principal
from ...api.errors import ServerStopping, response_to
from ...errors import MessageNotFound
from ...models.audit import Actor
from ...models.events import EventType
from ...models.messages import MessageState
from ...services import Services
from ..held_replies import HeldReply
from ..run_streams import stored_events
from ..runs import Run
from .chat_projection import ChatView, completion_of, failure_of
from .errors import NO_RETRY, AccessEnded
from .token_counts import TokenCounts

ENDINGS = {
    MessageState.FAILED: EventType.ERROR,
    MessageState.CANCELLED: EventType.CANCELLED,
    MessageState.INTERRUPTED: EventType.INTERRUPTED,
}


class CompletionReply(HeldReply):
    """Sends a completion, or an error with its status.

    Clients know a failure by the status alone. Nothing is therefore sent before the run has ended or the first
    keep-alive is due. A run that fails after that has the status 200 and an `error` in place of the completion.
    """

    def __init__(self, services: Services, caller: Principal, run: Run, view: ChatView, *, cancels_as: Actor) -> None:
        self._view = view
        self._is_refused = False
        super().__init__(services, caller, run, self._result, cancels_as=cancels_as)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began: Message | None = None

        async def send_late(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = message
                return
            if began is not None:
                if self._is_refused:
                    return  # with the status of the refusal, below
                head = {**began, "status": self.status_code, "headers": self.raw_headers}
                began = None
                await send(head)
            await send(message)

        await super().__call__(scope, receive, send_late)
        if began is not None:  # the access has ended, the server is stopping, or the client has left
            error = AccessEnded() if self._is_refused else ServerStopping()
            await response_to(error)(scope, receive, send)

    @override
    def refusal(self) -> bytes:
        self._is_refused = True
        return json.dumps({"error": AccessEnded().as_object()}).encode()

    async def _result(self, ended: dict[str, Any]) -> str:
        """Return the completion or the error. A late status is that of the error."""
        message = self._run.message
        with suppress(MessageNotFound):
            message = await self._services.queue.get(self._caller, message.id)
        failure = failure_of(ENDINGS[message.state], ended) if message.state in ENDINGS else None
        if failure is not None:
            self.status_code, error = failure
            self.headers.update(NO_RETRY)
            return json.dumps({"error": error})
        return json.dumps(completion_of(self._view, message.result or "", await self._tokens()))

    async def _tokens(self) -> TokenCounts | None:
        counts = None
        page = await self._services.log.read(self._caller.tenant, self._run.message.id, after=0, limit=1)
        async for events in stored_events(self._services, self._caller, self._run, max(0, page.first - 1), page.last):
            for event in events:
                if event.type is EventType.USAGE:
                    counts = (counts or TokenCounts()).plus(json.loads(event.data)["models"])
        return counts
