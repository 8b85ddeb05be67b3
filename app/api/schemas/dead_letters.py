"""Replies about dead letters."""

from pydantic import BaseModel

from ...models.attempts import FailedAttempt
from ...models.messages import DeadLetterGroup, Message, Priority
from ...models.types import Moment
from ...policy.wait_estimate import NOTHING, WaitEstimate
from .examples import ACCEPTED_EXAMPLE, CREATED, ENDED, MESSAGE_ID, STARTED, THREAD_ID, example
from .messages import MessageAccepted, SubjectView

TAIL = "Each message is at the tail of its thread."


class DeadLetter(BaseModel):
    """A message that failed for good, with the reason in one sentence and each failed attempt."""

    model_config = example(
        message_id=MESSAGE_ID,
        user_message="What is the capital of France?",
        priority="normal",
        thread_id=THREAD_ID,
        agent="chat",
        created_at=CREATED,
        failed_at=ENDED,
        reason="It failed in its first attempt and was not tried again.",
        error="The model refused the request.",
        error_code="provider_refused",
        fingerprint="provider_refused",
        attempt=1,
        crashes=0,
        attempts=[
            {
                "attempt": 1,
                "worker_id": "host-1-4711-7c9201dc2f6c",
                "started_at": STARTED,
                "ended_at": ENDED,
                "error": "The model refused the request.",
                "error_code": "provider_refused",
                "node": "model",
                "error_type": "AuthenticationError",
                "where": "my_agents.py:18 in answer",
                "traceback": None,
            }
        ],
        subject="user-42",
    )

    message_id: str
    user_message: str
    priority: Priority
    thread_id: str | None
    agent: str
    created_at: Moment
    failed_at: Moment | None
    reason: str
    error: str | None
    error_code: str | None
    fingerprint: str | None
    attempt: int
    crashes: int
    attempts: list[FailedAttempt]
    subject: SubjectView = None

    @classmethod
    def of(cls, message: Message, attempts: list[FailedAttempt]) -> "DeadLetter":
        """Return the reply for a message."""
        same = (
            "priority",
            "thread_id",
            "agent",
            "created_at",
            "error",
            "error_code",
            "fingerprint",
            "attempt",
            "subject",
        )
        return cls.model_construct(
            message_id=message.id,
            user_message=message.content,
            failed_at=message.completed_at,
            reason=reason_of(message),
            crashes=message.crashes,
            attempts=attempts,
            **{name: getattr(message, name) for name in same},
        )


def reason_of(message: Message) -> str:
    """Return why a message is a dead letter."""
    match message.error_code:
        case "worker_lost":
            return f"Its workers were lost {message.crashes} times."
        case "interrupt_expired":
            return "No human answered its question in time."
    if message.attempt <= 1:
        return "It failed in its first attempt and was not tried again."
    return f"The last of its {message.attempt} attempts failed."


class DeadLetterList(BaseModel):
    """Dead letters, the newest message first."""

    dead_letters: list[DeadLetter]


class DeadLetterGroups(BaseModel):
    """Dead letters grouped by the kind of their failure, the most recent kind first."""

    model_config = example(
        groups=[
            {
                "fingerprint": "provider_refused",
                "count": 12,
                "error": "The model refused the request.",
                "error_code": "provider_refused",
                "first_failed_at": STARTED,
                "last_failed_at": ENDED,
            }
        ]
    )

    groups: list[DeadLetterGroup]


class MessageRequeued(MessageAccepted):
    """The message is queued again, like a new message."""

    model_config = example(
        **ACCEPTED_EXAMPLE,
        message="The message is at the tail of its thread.",
    )

    message: str

    @classmethod
    def of(cls, message: Message, wait_estimate: WaitEstimate = NOTHING) -> "MessageRequeued":
        """Return the reply for a message."""
        where = "queue" if message.thread_id is None else "thread"
        accepted = MessageAccepted.of(message, wait_estimate)
        return cls.model_construct(**dict(accepted), message=f"The message is at the tail of its {where}.")


class MessagesRequeued(BaseModel):
    """The messages that are queued again, in their new order."""

    requeued: list[MessageRequeued]
    message: str = TAIL


class MessagesPurged(BaseModel):
    """The messages that are deleted, together with the agents' memory that was kept only for them."""

    model_config = example(purged=[MESSAGE_ID])

    purged: list[str]
