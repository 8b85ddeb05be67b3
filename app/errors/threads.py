"""The errors of threads and of the states that agents keep of them."""

from . import AgentQueueError, Conflict, InvalidRequest, NotFound


class CheckpointNotFound(NotFound):
    """The conversation has no checkpoint with this id, or no longer has it."""

    code = "checkpoint_not_found"

    def __init__(self, checkpoint_id: str) -> None:
        super().__init__(
            f"The thread has no checkpoint {checkpoint_id!r}. GET /threads/{{thread_id}}/history lists what it has."
        )


class AgentWithoutState(Conflict):
    """The agent of the thread is a function, which keeps no state between messages."""

    code = "agent_without_state"

    def __init__(self, agent: str) -> None:
        super().__init__(f"Agent {agent!r} keeps no state between messages. Only agents that are graphs do.")


class AgentCodeFailed(AgentQueueError):
    """The code of an agent failed while it opened, read or changed a state. `reason` has no secrets."""

    code = "agent_error"

    def __init__(self, agent: str, reason: str) -> None:
        super().__init__(f"The code of agent {agent!r} failed: {reason}")


class ThreadRunning(Conflict):
    """A message of the thread is being processed."""

    code = "thread_running"

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"A message of thread {thread_id!r} is being processed. Nothing was changed. Wait for its end or cancel it."
        )


class ThreadNotReady(Conflict):
    """The thread is being created by a fork, or is being deleted."""

    code = "thread_not_ready"

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} is being deleted, or created by a fork. Nothing was stored; send it again later."
        )


class ThreadExists(Conflict):
    """The id of a new thread is in use."""

    code = "thread_exists"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is a thread {thread_id!r} already, or it is being deleted. Use another id, or none.")


class ThreadMoved(Conflict):
    """The thread has got further messages since it was read."""

    code = "thread_moved"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"Thread {thread_id!r} has got further messages meanwhile. Nothing was stored; read it again.")


class NotEnded(Conflict):
    """The message has not ended yet."""

    code = "not_ended"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(
            f"Only messages that have ended can be regenerated; message {message_id} is {state}. Cancel it first, or "
            "give `if_busy` as `interrupt`.",
            state=state,
        )


class StateWillBeForgotten(Conflict):
    """A waiting message of the thread will make the agent forget the state."""

    code = "state_will_be_forgotten"

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"A waiting message of thread {thread_id!r} replaces earlier ones, and the agent will forget this state. "
            "Nothing was changed. Wait for the end of that message, or cancel it."
        )


class MetadataTooLarge(InvalidRequest):
    """The metadata of a thread would be too long."""

    code = "metadata_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"metadata: the thread's metadata would be longer than {limit} characters. Nothing was changed.",
            field="metadata",
        )


class Gone(AgentQueueError):
    """The request needs something that was deleted for good."""

    code = "gone"


class MessageDeleted(Gone):
    """The message that the first request with this key stored was deleted."""

    code = "message_deleted"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: the first request with this key stored a message that was deleted with its thread. Use a "
            "new key to send it again."
        )


class StateGone(Gone):
    """The state that the request needs is no longer kept."""

    code = "state_gone"

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail} CHECKPOINT_HISTORY says how many turns of a thread keep their states.")
