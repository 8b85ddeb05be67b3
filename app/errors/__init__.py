"""The errors that this server raises on purpose.

    AgentQueueError
    ├── InvalidRequest            the caller sent something that cannot be used
    │   ├── InvalidInput              what a message gives does not fit its agent
    │   └── KeyReused                 the Idempotency-Key was used for another request
    ├── NotFound                  no such message or thread (or it belongs to another tenant)
    │   ├── MessageNotFound
    │   ├── ThreadNotFound
    │   ├── AgentNotFound
    │   └── DeliveryNotFound
    ├── Conflict                  the state does not allow it
    │   ├── NotCancellable
    │   ├── NotQueued
    │   ├── NotInterrupted
    │   ├── NotFailed
    │   ├── ThreadBusy
    │   ├── AliasTaken                an alias names another message
    │   └── SelectionMoved            a filter selects a different number of messages than expected
    ├── QueueFull                 MAX_QUEUE_SIZE messages wait already
    ├── LeaseLost                 a worker wrote with an old fence
    ├── AgentUnavailable          an agent is not loaded or does not answer
    ├── OutputTooLarge            the output of a run is larger than MAX_OUTPUT_BYTES
    ├── StateNotStorable          a graph's state has a value that no checkpoint can hold
    ├── StateUnreadable           a stored state cannot be read
    ├── StoreError                the store failed unexpectedly
    │   ├── StoreUnavailable      busy, away or out of space: try again later
    │   │   ├── StoreRefused          the server or the system refuses the connection
    │   │   ├── TooFewConnections     the server has no connection left for this process
    │   │   ├── MemoryDamaged         the file of the agents' memory cannot be read
    │   │   └── MemoryClosed          the agents' memory is not open in this process
    │   ├── CommitUnknown         the store went away during a write: the result is unknown
    │   └── StoreIncompatible     a schema that this code does not know, or a database not ours
    └── ConfigurationError        a setting that cannot work
        └── MissingDriver             the package of a database's client is not installed

Each class has a stable `code`. `app.api.errors` maps the classes to HTTP statuses. `app.errors.threads` has those of
threads and their states.
"""

from collections.abc import Sequence
from typing import ClassVar

from ..text import amount_of, escaped

MAX_SHOWN_PLACE = 200


class AgentQueueError(Exception):
    """Base of all errors that this server raises on purpose. Callers may see the texts, except those of StoreErrors."""

    code = "internal_error"


class InvalidRequest(AgentQueueError):
    """The caller sent something that cannot be used. `field` names the wrong field or header, if there is one."""

    code = "invalid_request"

    def __init__(self, detail: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.field = field
        if code is not None:
            self.code = code


class InvalidInput(InvalidRequest):
    """The input or the context of a message does not fit its agent."""

    code = "invalid_input"


class KeyReused(InvalidRequest):
    """The Idempotency-Key was used before, for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: this key was used for another request within the last day. Use a new key.",
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


class AgentNotFound(NotFound):
    """There is no agent with this name."""

    code = "agent_not_found"

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(f"There is no agent {name!r}. Agents of this server: {', '.join(names)}.")


class DeliveryNotFound(NotFound):
    """There is no delivery with this id."""

    code = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"There is no delivery with the id {delivery_id!r}.")


class Conflict(AgentQueueError):
    """The present state does not allow the request. `state` is the message's state; None if no message is concerned."""

    code = "conflict"

    def __init__(self, detail: str, *, state: str | None = None) -> None:
        super().__init__(detail)
        self.state = state


class NotCancellable(Conflict):
    """The message has ended, or it has begun and the request cancels only queued messages."""

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
            f"Only the priority of queued messages can be changed; message {message_id} is {state}.", state=state
        )


class NotInterrupted(Conflict):
    """The message asks no question, or it asks another question now."""

    code = "not_interrupted"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(f"Message {message_id} does not wait for this answer; it is {state}.", state=state)


class NotFailed(Conflict):
    """The message is not a dead letter."""

    code = "not_failed"

    def __init__(self, message_id: str, state: str) -> None:
        super().__init__(f"Only failed messages are dead letters; message {message_id} is {state}.", state=state)


class ThreadBusy(Conflict):
    """The thread has messages that run or wait to run, and `if_busy` of the new message is `reject`."""

    code = "thread_busy"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"Thread {thread_id!r} has unfinished messages. Nothing was stored; send it again later.")


class ThreadAsks(ThreadBusy):
    """A message of the thread waits for a human, and the new message must not wait behind it."""


class AliasTaken(Conflict):
    """The alias is already another message's alias or id."""

    code = "alias_taken"

    def __init__(self, alias: str) -> None:
        super().__init__(f"The alias {alias!r} names another message. Nothing was stored; use another alias, or none.")
        self.alias = alias


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
        super().__init__(
            f"The queue holds its maximum of {amount_of(limit, 'messages')}. Nothing was stored; send it again later."
        )
        self.limit = limit


class LeaseLost(AgentQueueError):
    """The attempt's fence is out of date: another attempt, a rescue or a cancel has taken the message."""

    code = "lease_lost"

    def __init__(self, message_id: str, fence: int) -> None:
        super().__init__(f"Fence {fence} no longer holds message {message_id}.")
        self.message_id = message_id
        self.fence = fence


class AgentUnavailable(AgentQueueError):
    """A configured agent could not be loaded, or does not answer. The text says why."""

    code = "agent_unavailable"


class OutputTooLarge(AgentQueueError):
    """The output of a run takes more bytes as JSON than MAX_OUTPUT_BYTES allows."""

    code = "output_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The output takes {size} bytes, and MAX_OUTPUT_BYTES allows {limit}. Give the graph an `output_schema` "
            "with the keys that are needed, or raise the setting."
        )


class StateNotStorable(AgentQueueError):
    """A graph's state has a value that no checkpoint can hold. `place` is its path, empty for the whole state."""

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
        """Return this error with the state's key `channel` in front of its place."""
        joint = "." if self._place and not self._place.startswith("[") else ""
        return StateNotStorable(f"{channel}{joint}{self._place}", self._reason)


class StateUnreadable(AgentQueueError):
    """A stored state, or a write of an unfinished step, cannot be read. `reason` says why in a few words."""

    code = "state_unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The stored state cannot be read ({reason}). It is damaged, or another serializer wrote it. Continue "
            "in a new thread, or restore the agents' memory from a backup."
        )


class StoreError(AgentQueueError):
    """The store failed unexpectedly. The text may name hosts, so it is for the log; callers get `public`.

    `state` is the text for callers that store nothing, such as probes. It does not mention the request.
    """

    code = "store_error"
    public = "The database failed unexpectedly; the server's log has the details."
    state = public


class StoreUnavailable(StoreError):
    """The store is busy, away or out of space. Nothing was stored."""

    code = "store_unavailable"
    state = "The database is busy, away or out of space."
    public = f"{state} Nothing was stored; send it again later."


class StoreRefused(StoreUnavailable):
    """The server or the system refuses the connection with these settings. A starting process does not retry."""


class TooFewConnections(StoreUnavailable):
    """The database server has no connection left for this process."""

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
    """The agents' memory is not open in this process, which runs no agents or is still loading them."""

    code = "memory_closed"
    public = (
        "The agents' memory of these messages must be deleted too, but this process has not opened it. Nothing was "
        "deleted. Send the request to a process that runs agents and is ready."
    )

    def __init__(self) -> None:
        super().__init__(self.public)


class CommitUnknown(StoreError):
    """The store went away during a write and did not return in time. It is unknown whether the write was stored."""

    code = "commit_unknown"
    public = (
        "The database went away during this write, and did not come back in time. It is unknown whether the write was "
        "stored. Check before you send it again."
    )

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{self.public} {detail}".rstrip())


class StoreIncompatible(StoreError):
    """The database's schema is unknown to this version or belongs to another program."""

    code = "store_incompatible"


class ConfigurationError(AgentQueueError):
    """A setting cannot work. The text names the setting, the expected value and the given value."""

    code = "configuration_error"


class MissingDriver(ConfigurationError):
    """A database's driver is not installed. The text has a command that installs the driver."""

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
    """The caller may use this server, but may not make this request."""

    code = "insufficient_scope"


class Unauthorized(AgentQueueError):
    """The caller may not use this server."""

    code = "authentication_required"
