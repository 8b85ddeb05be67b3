"""The errors of threads and of the states that agents keep of them."""

from . import AgentQueueError, Conflict, NotFound


class CheckpointNotFound(NotFound):
    """The conversation has no checkpoint with this id, or has it no more."""

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
