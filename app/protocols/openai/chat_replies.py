"""Holds the reply of a chat completion until its run has ended."""

import json
from typing import Any

from ...access.principals import Principal
from ...models.audit import Actor
from ...models.events import EventType
from ...models.messages import MessageState
from ...services import Services
from ..run_streams import stored_events
from ..runs import Run
from .chat_projection import ChatView, completion_of, failure_of
from .errors import NO_RETRY
from .late_replies import LateReply
from .token_counts import TokenCounts

ENDINGS = {
    MessageState.FAILED: EventType.ERROR,
    MessageState.CANCELLED: EventType.CANCELLED,
    MessageState.INTERRUPTED: EventType.INTERRUPTED,
}


class CompletionReply(LateReply):
    """Sends a completion. The run is cancelled if the client leaves, in the name `cancels_as`."""

    def __init__(self, services: Services, caller: Principal, run: Run, view: ChatView, *, cancels_as: Actor) -> None:
        self._view = view
        super().__init__(services, caller, run, self._result, cancels_as=cancels_as)

    async def _result(self, ended: dict[str, Any]) -> str:
        """Return the completion or the error. A late status is that of the error. Raises MessageNotFound."""
        message = await self._services.queue.get(self._caller, self._run.message.id)
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
