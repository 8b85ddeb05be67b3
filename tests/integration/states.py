"""Messages in the state that a test wants, on a server without a worker: the test is the worker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.models.attempts import Cancelled, Completed, Failed, Interrupted, Outcome
from app.models.messages import MessageState
from tests.contract.builders import claim
from tests.servers import LiveServer

QUESTION = Interrupted('[{"id": "question", "value": {"text": "May I?"}}]', 3600.0)
REFUSED = Failed("The model refused.", "provider_refused", "refused")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Webhooks are signed with it."""

OUTCOMES: dict[MessageState, Outcome] = {
    MessageState.COMPLETED: Completed("The answer."),
    MessageState.FAILED: REFUSED,
    MessageState.CANCELLED: Cancelled(),
    MessageState.INTERRUPTED: QUESTION,
}


async def end(server: LiveServer, message_id: str, outcome: Outcome) -> None:
    """Claim a message, which has to be the first one that is ready, and end the attempt like this."""
    (claimed,) = await claim(server.runtime.services.store)
    assert claimed.message.id == message_id, "another message was ready"
    await server.runtime.services.store.finish(claimed.lease, outcome)


async def bring(server: LiveServer, state: MessageState, text: str = "Hello", **fields: Any) -> str:
    """The id of a new message in this state; no other one may be ready."""
    message_id: str = (await server.submit(text, **fields))["message_id"]
    if state is MessageState.PROCESSING:
        await claim(server.runtime.services.store)
    elif state is not MessageState.QUEUED:
        await end(server, message_id, OUTCOMES[state])
    assert (await server.status(message_id))["state"] == state
    return message_id


async def dead_letter(server: LiveServer, outcome: Failed = REFUSED, **fields: Any) -> str:
    """The id of a new message that has failed like this."""
    message_id: str = (await server.submit(**fields))["message_id"]
    await end(server, message_id, outcome)
    return message_id


def in_seconds(seconds: float) -> str:
    """A time as a client sends it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
