"""Erasures: the removal of all that belongs to a thread, a subject or a tenant."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class ErasureKind(StrEnum):
    """The target of an erasure: one conversation, an end user, or a tenant."""

    THREAD = "thread"
    SUBJECT = "subject"
    TENANT = "tenant"


class ErasureState(StrEnum):
    """Whether an erasure still works."""

    RUNNING = "running"
    COMPLETED = "completed"


class ErasureTarget(NamedTuple):
    """The owner of the data that an erasure removes.

    `name` is the id of the thread or the name of the subject. It is empty for a tenant.
    """

    tenant: str
    kind: ErasureKind
    name: str = ""

    def covers(self, tenant: str, subject: str | None, thread_id: str | None) -> bool:
        """Return whether a message with these fields belongs to the target."""
        if tenant != self.tenant:
            return False
        owned = {ErasureKind.THREAD: thread_id, ErasureKind.SUBJECT: subject, ErasureKind.TENANT: ""}
        return owned[self.kind] == self.name


class NewErasure(NamedTuple):
    """An erasure to store. `actor` is the caller's name as the audit log has it, `subject` for every end user."""

    id: str
    target: ErasureTarget
    actor: str


class Erasure(NamedTuple):
    """A stored erasure, which is also its receipt.

    `name` is that of the target. It is None for a tenant, and once the erasure is completed, since it may name a
    person. `counts` has the removed objects by kind. `ended_at` is None while the erasure works.
    """

    id: str
    tenant: str
    kind: ErasureKind
    name: str | None
    actor: str
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]

    @property
    def state(self) -> ErasureState:
        """Return whether the erasure still works."""
        return ErasureState.RUNNING if self.ended_at is None else ErasureState.COMPLETED

    @property
    def target(self) -> ErasureTarget:
        """Return the target. Only for an erasure that still works."""
        return ErasureTarget(self.tenant, self.kind, self.name or "")


ERASED = "erased"
"""Stands in records for the name of a thread, a subject or another object that was erased."""
