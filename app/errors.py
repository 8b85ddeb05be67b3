"""Everything that can go wrong on purpose.

    AgentQueueError
    ├── InvalidRequest            the caller sent something that cannot be used
    │   └── KeyReused                 the Idempotency-Key was used for another request
    ├── NotFound                  no such message or thread (or it belongs to another tenant)
    │   ├── MessageNotFound
    │   ├── ThreadNotFound
    │   └── DeliveryNotFound
    ├── Conflict                  the state does not allow it
    │   ├── NotCancellable
    │   ├── NotQueued
    │   ├── NotInterrupted
    │   ├── NotFailed
    │   ├── ThreadBusy
    │   └── SelectionMoved            a filter selects another number of messages than expected
    ├── QueueFull                 MAX_QUEUE_SIZE messages wait already
    ├── LeaseLost                 a worker wrote with a fence that is no longer the message's
    ├── AgentUnavailable          an agent that is configured could not be loaded
    ├── StateNotStorable          a graph's state has a value that no checkpoint can hold
    ├── StateUnreadable           a stored state cannot be read
    ├── StoreError                the store did something unexpected
    │   ├── StoreUnavailable      busy, away or out of space: try again later
    │   │   ├── StoreRefused          the server or the system refuses the connection
    │   │   ├── TooFewConnections     the server has no connection left for this process
    │   │   ├── MemoryDamaged         the file of the agents' memory cannot be read
    │   │   └── MemoryClosed          the agents' memory is not open in this process
    │   ├── CommitUnknown         the store went away during a write: the result is unknown
    │   └── StoreIncompatible     a schema that this code does not know, or a database not ours
    └── ConfigurationError        a setting that cannot work
        └── MissingDriver             the package of a database's client is not installed

Each class has a stable `code`. What HTTP makes of it is decided in `app.api.errors`.
"""

from typing import ClassVar

from .text import escaped

MAX_SHOWN_PLACE = 200


class AgentQueueError(Exception):
    """Base of all errors raised on purpose. Unless it is a StoreError, the text is safe to show to a caller."""

    code = "internal_error"


class InvalidRequest(AgentQueueError):
    """The caller sent something that cannot be used; `field` names where."""

    code = "invalid_request"

    def __init__(self, detail: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.field = field
        if code is not None:
            self.code = code


class KeyReused(InvalidRequest):
    """An Idempotency-Key came again with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: this key was used for another request within the last day. Use a new key for each one.",
            field="Idempotency-Key",
        )


class NotFound(AgentQueueError):
    """The object does not exist, or belongs to another tenant."""

    code = "not_found"


class MessageNotFound(NotFound):
    """There is no message with this id."""

    code = "message_not_found"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message with the id {message_id!r}.")


class ThreadNotFound(NotFound):
    """There is no thread with this id."""

    code = "thread_not_found"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread with the id {thread_id!r}.")


class DeliveryNotFound(NotFound):
    """No delivery with this id."""

    code = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"There is no delivery with the id {delivery_id!r}.")


class Conflict(AgentQueueError):
    """The present state does not allow the request; `state` is the message's, None if it is not about a message."""

    code = "conflict"

    def __init__(self, detail: str, *, state: str | None = None) -> None:
        super().__init__(detail)
        self.state = state


class NotCancellable(Conflict):
    """The message has ended, or has begun where only a queued one is to be cancelled."""

    code = "not_cancellable"

    def __init__(self, message_id: str, state: str, *, running: bool = False) -> None:
        allowed = "Messages that have ended cannot" if running else "Only queued messages can"
        unfinished = state in ("processing", "interrupted")
        hint = "" if running or not unfinished else f" POST /messages/{message_id}/cancel cancels it."
        super().__init__(f"{allowed} be cancelled; message {message_id} is {state}.{hint}", state=state)


class NotQueued(Conflict):
    """The message is no longer queued."""

    code = "not_queued"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(
            f"Only queued messages have a priority to change; message {message_id} is {state}.", state=state
        )


class NotInterrupted(Conflict):
    """The message asks nothing, or asks something else now."""

    code = "not_interrupted"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(f"Message {message_id} does not wait for this answer; it is {state}.", state=state)


class NotFailed(Conflict):
    """The message is no dead letter."""

    code = "not_failed"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(f"Only failed messages are dead letters; message {message_id} is {state}.", state=state)


class ThreadBusy(Conflict):
    """The thread has unfinished messages, and the new message was to be rejected in this case."""

    code = "thread_busy"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"Thread {thread_id!r} has unfinished messages. Nothing was stored; send it again later.")


class SelectionMoved(Conflict):
    """A filter selects a different number of messages than the caller expected."""

    code = "selection_moved"

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The filter selects {found} message{'' if found == 1 else 's'}, not {expected}. Nothing was changed; list "
            "the messages again first."
        )


class QueueFull(AgentQueueError):
    """`MAX_QUEUE_SIZE` messages are queued already."""

    code = "queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The queue holds its maximum of {limit} messages. Nothing was stored; send it again later.")
        self.limit = limit


class LeaseLost(AgentQueueError):
    """The attempt's fence is out of date: another attempt, a rescue or a cancel has taken the message."""

    code = "lease_lost"

    def __init__(self, message_id: str, fence: int) -> None:
        super().__init__(f"Fence {fence} no longer holds message {message_id}.")
        self.message_id = message_id
        self.fence = fence


class AgentUnavailable(AgentQueueError):
    """A configured agent could not be loaded; the text says why."""

    code = "agent_unavailable"


class StateNotStorable(AgentQueueError):
    """A graph's state has a value that no checkpoint can hold. `place` names it; empty if that is the whole value."""

    code = "state_not_storable"

    def __init__(self, place: str, reason: str) -> None:
        shown = f"`{escaped(place[:MAX_SHOWN_PLACE])}`" if place else "a value"
        super().__init__(
            f"The state cannot be stored: {shown} {escaped(reason)}. A state holds data: text, numbers, lists, "
            "dictionaries, messages, dataclasses, pydantic models. Keep other objects outside of it."
        )
        self._place = place
        self._reason = reason

    def inside(self, channel: str) -> "StateNotStorable":
        """Return a new error whose place begins with the name of the state's key."""
        joint = "." if self._place and not self._place.startswith("[") else ""
        return StateNotStorable(f"{channel}{joint}{self._place}", self._reason)


class StateUnreadable(AgentQueueError):
    """A stored state, or a write of an unfinished step, cannot be read; `reason` says why in a few words."""

    code = "state_unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"What is stored of the state cannot be read ({reason}). It is damaged, or of another serializer. Go on in "
            "a new thread, or restore the agents' memory from a backup."
        )


class StoreError(AgentQueueError):
    """The store did something unexpected. The text is for the log, as it may name hosts; callers get `public`.

    `state` is the part of `public` about the store itself, for callers without a request to store, such as probes.
    """

    code = "store_error"
    public = "The database did something unexpected; the server's log has more."
    state = public


class StoreUnavailable(StoreError):
    """The store is busy, away or out of space; nothing was stored."""

    code = "store_unavailable"
    state = "The database is busy, away or out of space."
    public = f"{state} Nothing was stored; send it again later."


class StoreRefused(StoreUnavailable):
    """The server or the system refuses the connection, given the settings. A start does not wait for a change."""


class TooFewConnections(StoreUnavailable):
    """The server has no connection left for this process."""

    public = (
        "The database has too few connections left for this process. Messages wait until it has them. Raise the limit "
        "of the server or the role, or run fewer processes."
    )
    state = public


class MemoryDamaged(StoreUnavailable):
    """The file of the agents' memory cannot be read."""

    public = (
        "The file of the agents' memory is damaged. Messages wait until it is restored from a backup or moved away."
    )
    state = public


class MemoryClosed(StoreUnavailable):
    """The agents' memory is not open in this process: it runs no agents, or has not loaded them yet."""

    code = "memory_closed"
    public = (
        "The agents' memory of these messages must be deleted too, and this process does not have it open. Nothing was "
        "deleted; ask a process that runs agents, once it is ready."
    )

    def __init__(self) -> None:
        super().__init__(self.public)


class CommitUnknown(StoreError):
    """The store went away during a write, and did not come back in time to tell whether the write was stored."""

    code = "commit_unknown"
    public = (
        "The database went away while it stored this, and did not come back in time to tell whether it is stored. "
        "Look before you send it again."
    )

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{self.public} {detail}".rstrip())


class StoreIncompatible(StoreError):
    """The database has a schema that this version does not know, or is not ours."""

    code = "store_incompatible"


class ConfigurationError(AgentQueueError):
    """A setting that cannot work. The text says which one, what was expected and what was given."""

    code = "configuration_error"


class MissingDriver(ConfigurationError):
    """A database's driver is not installed; the text has the command that installs it beside any installation."""

    PACKAGES: ClassVar[dict[str, tuple[str, ...]]] = {
        "postgres": ("langgraph-checkpoint-postgres>=3.2", "psycopg[binary,pool]>=3.3"),
        "redis": ("redis[hiredis]>=8",),
    }
    """The packages that each extra installs."""

    def __init__(self, setting: str, extra: str, error: ImportError) -> None:
        packages = " ".join(f"'{package}'" for package in self.PACKAGES[extra])
        super().__init__(
            f"{setting}: expected the driver for {extra} to be installed, got: {error}. Install it with "
            f"`pip install {packages}`"
        )


class Forbidden(AgentQueueError):
    """The caller may use this server, but not for this request."""

    code = "insufficient_scope"


class Unauthorized(AgentQueueError):
    """The caller may not use this server."""

    code = "authentication_required"
