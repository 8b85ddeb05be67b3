"""Results of the tools."""

import json
from typing import Any

from pydantic import BaseModel, Field

from ...api.schemas.messages import Question
from ...models.messages import Message, MessageState, Priority


class MessageView(BaseModel):
    """A message as it is now. `interrupts` has its questions while its agent waits for a human."""

    message_id: str
    state: MessageState
    agent: str
    priority: Priority
    thread_id: str | None
    queue_position: int | None = Field(description="How many messages are ahead of it. Null unless it is queued.")
    result: str | None = Field(description="The answer of the agent. Null before the end.")
    output: Any = Field(description="The structured answer, if the agent gave one.")
    error: str | None
    error_code: str | None
    interrupts: list[Question] = Field(description="Questions that answer_message answers.")

    @classmethod
    def of(cls, message: Message) -> "MessageView":
        """Return the view of a message."""
        asks = message.state is MessageState.INTERRUPTED and message.interrupt is not None
        return cls(
            message_id=message.id,
            state=message.state,
            agent=message.agent,
            priority=message.priority,
            thread_id=message.thread_id,
            queue_position=message.queue_position,
            result=message.result,
            output=None if message.output is None else json.loads(message.output),
            error=message.error,
            error_code=message.error_code,
            interrupts=[Question(**each) for each in json.loads(message.interrupt or "[]")] if asks else [],
        )


class MessagesView(BaseModel):
    """A page of messages, newest first."""

    messages: list[MessageView]
    next_cursor: str | None = Field(description="The `cursor` of the next page. Null on the last page.")


class QueueView(BaseModel):
    """How many messages wait, and how many run."""

    total_queued: int
    total_processing: int
