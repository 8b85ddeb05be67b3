"""Records of what operators and callers changed."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


class AuditAction(StrEnum):
    """The kind of a change."""

    CREATE_KEY = "key.create"
    CHANGE_KEY = "key.change"
    ROTATE_KEY = "key.rotate"
    REVOKE_KEY = "key.revoke"
    CHANGE_TENANT = "tenant.change"
    DELETE_TENANT = "tenant.delete"
    END_TOKENS = "tokens.end"
    END_SESSION = "session.end"
    PAUSE_QUEUE = "queue.pause"
    RESUME_QUEUE = "queue.resume"
    DRAIN_WORKER = "worker.drain"
    RESUME_WORKER = "worker.resume"
    CANCEL_MESSAGE = "message.cancel"
    CHANGE_MESSAGE = "message.change"
    ANSWER_MESSAGE = "message.answer"
    REQUEUE_MESSAGES = "message.requeue"
    PURGE_MESSAGES = "message.purge"
    CHANGE_THREAD = "thread.change"
    DELETE_THREAD = "thread.delete"
    FORK_THREAD = "thread.fork"
    CHANGE_STATE = "thread.state"
    PUT_ITEM = "item.put"
    DELETE_ITEM = "item.delete"
    REPLAY_DELIVERY = "delivery.replay"
    ERASE_DATA = "data.erase"


NO_DETAILS: Mapping[str, Any] = MappingProxyType({})


class NewAudit(NamedTuple):
    """A record to add with a change. The fields are as in `AuditRecord`."""

    actor: str
    key_id: str | None
    address: str | None
    action: AuditAction
    tenant: str | None
    targets: tuple[str, ...] = ()
    details: Mapping[str, Any] = NO_DETAILS


class AuditRecord(NamedTuple):
    """The changes of one call, and its caller.

    `number` grows with each record. `actor` is `key:ID`, `subject:NAME` for an end user, `local` for the command line
    and for programs of the server's host without a key, or `anonymous`. `key_id` is the key that was presented or that
    made the token. `address` is None for the command line. `tenant` is the tenant whose data was changed; None stands
    for all tenants. `targets` has the ids of the changed objects. `details` has what else describes the change, as JSON
    values by name, such as the `source` of a fork and the `grace_seconds` of a rotation.
    """

    number: int
    at: datetime
    actor: str
    key_id: str | None
    address: str | None
    action: AuditAction
    tenant: str | None
    targets: tuple[str, ...]
    details: Mapping[str, Any]

    @property
    def affected(self) -> int:
        """Return how many objects were changed."""
        return len(self.targets)


class AuditFilter(NamedTuple):
    """Selects records that match all given fields. None means any value.

    `target` is one of a record's targets. `since` is included, `until` is not.
    """

    tenant: str | None = None
    actor: str | None = None
    action: AuditAction | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Actor(NamedTuple):
    """The caller who makes a change. The fields are as in `AuditRecord`."""

    name: str
    key_id: str | None = None
    address: str | None = None


LOCAL = Actor("local")
"""The user of the command line."""


def record_of(
    actor: Actor | None, action: AuditAction, tenant: str | None, *targets: str, **details: Any
) -> NewAudit | None:
    """Return the record of a change by this actor. None stands for the server itself: its changes are not recorded."""
    if actor is None:
        return None
    return NewAudit(actor.name, actor.key_id, actor.address, action, tenant, targets, details)
