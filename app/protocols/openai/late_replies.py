"""Holds replies, and their status as long as it can, until a run has ended."""

import json

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from ...api.errors import ServerStopping, response_to
from ...errors import AgentQueueError
from ..held_replies import HeldReply
from .errors import AccessEnded, object_of


class LateReply(HeldReply):
    """Sends the result of a run, or an error with its status.

    Clients know a failure by the status alone. Nothing is therefore sent before the run has ended or the first
    keep-alive is due. A reply that fails after that has the status 200 and an `error` in place of the result.
    """

    _failed: AgentQueueError | None = None

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began: Message | None = None
        is_replaced = False

        async def send_late(message: Message) -> None:
            nonlocal began, is_replaced
            if message["type"] == "http.response.start":
                began = message
            elif is_replaced:
                return
            elif began is not None and self._failed is not None:
                is_replaced, began = True, None
                await response_to(self._failed)(scope, receive, send)
            else:
                if began is not None:
                    head = {**began, "status": self.status_code, "headers": self.raw_headers}
                    began = None
                    await send(head)
                await send(message)

        await super().__call__(scope, receive, send_late)
        if began is not None:  # the server is stopping, or the client has left
            await response_to(ServerStopping())(scope, receive, send)

    @override
    def refusal(self) -> bytes:
        return self.failure(AccessEnded())

    @override
    def failure(self, error: AgentQueueError) -> bytes:
        self._failed = error
        return json.dumps({"error": object_of(error)}).encode()
