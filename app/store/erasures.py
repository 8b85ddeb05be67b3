"""Code that all engines share for erasures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..clock import to_datetime
from ..errors.erasures import ErasureInProgress
from ..models.erasures import Erasure, ErasureKind, ErasureTarget
from ..models.items import end_of, namespace_text, own_namespace
from ..models.messages import NewMessage
from ..models.threads import NewThread
from .rows import Receipt

ROWS: Mapping[ErasureKind, Sequence[str]] = {
    ErasureKind.THREAD: (),
    ErasureKind.SUBJECT: (),
    ErasureKind.TENANT: ("request_keys", "usage", "figures", "api_keys", "token_ends"),
}
"""Kinds of rows besides items that are deleted with a target. Each has a query `erase_KIND`."""


class Naming(NamedTuple):
    """The values by which a query recognizes the names of an erasure's target.

    `actor` is the target as the audit log names an end user; `own` begins the request keys of this end user. Both are
    empty if the target is no subject. `everything` tells that all of the tenant is erased.
    """

    tenant: str
    erasure: str
    actor: str
    own: str
    everything: bool


def refused(new: Sequence[NewMessage], running: Sequence[tuple[str, str, str]]) -> ErasureInProgress | None:
    """Return the error of messages that a running erasure would remove, None if there are none.

    `running` has the tenant, the kind and the name of each running erasure's target.
    """
    for each in new:
        if (error := refused_thread(each.tenant, each.subject, each.thread_id, running)) is not None:
            return error
    return None


def refused_thread(
    tenant: str, subject: str | None, thread_id: str | None, running: Sequence[tuple[str, str, str]]
) -> ErasureInProgress | None:
    """Return the error of a thread or message that a running erasure would remove, None if none does."""
    for of_tenant, kind, name in running:
        if ErasureTarget(of_tenant, ErasureKind(kind), name).covers(tenant, subject, thread_id):
            return ErasureInProgress(kind)
    return None


def refused_fork(tenant: str, new: NewThread, running: Sequence[tuple[str, str, str]]) -> ErasureInProgress | None:
    """Return the error of a fork whose subject or source a running erasure removes, None if none does."""
    source = None if new.source is None else new.source.thread_id
    return refused_thread(tenant, new.subject, source, running)


def as_stored(new: Sequence[NewMessage], receipts: Sequence[Receipt]) -> list[NewMessage]:
    """Return new messages with the subjects that they got from their threads."""
    return [each._replace(subject=receipt.subject) for each, receipt in zip(new, receipts, strict=True)]


def naming(erasure: Erasure) -> Naming:
    """Return the values by which the names of an erasure's target are recognized."""
    subject = erasure.kind is ErasureKind.SUBJECT
    return Naming(
        erasure.tenant,
        erasure.id,
        f"subject:{erasure.name}" if subject else "",
        f"{erasure.name}\n" if subject else "",
        erasure.kind is ErasureKind.TENANT,
    )


def target_names(target: ErasureTarget) -> list[str]:
    """Return the texts by which records name the target, except a tenant."""
    match target.kind:
        case ErasureKind.THREAD:
            return [target.name]
        case ErasureKind.SUBJECT:
            return list(dict.fromkeys([target.name, own_namespace(target.name)[-1]]))
        case ErasureKind.TENANT:
            return []


def item_range(target: ErasureTarget) -> tuple[str, str] | None:
    """Return the first namespace of the target's items and the end of the range, None if it has no items."""
    if target.kind is ErasureKind.THREAD:
        return None
    begin = namespace_text(own_namespace(target.name) if target.kind is ErasureKind.SUBJECT else ())
    return begin, end_of(begin)


def added_counts(counts: str, more: Mapping[str, int]) -> str:
    """Return the JSON of counts by kind with more of them added. Kinds of which there are none are left out."""
    known: dict[str, int] = json.loads(counts)
    for kind, count in more.items():
        if count:
            known[kind] = known.get(kind, 0) + count
    return json.dumps(known)


def to_erasure(row: Sequence[Any]) -> Erasure:
    """Return an erasure from a row: its fields, with times in milliseconds and counts as JSON."""
    erasure_id, tenant, kind, name, actor, started_at, ended_at, counts = row
    ended = None if ended_at is None else to_datetime(int(ended_at))
    return Erasure(
        erasure_id, tenant, ErasureKind(kind), name or None, actor, to_datetime(int(started_at)), ended,
        json.loads(counts),
    )  # fmt: skip


def hidden_subject(subject: str | None) -> str:
    """Return the name under which the end of a subject's tokens is stored: a hash, since it outlives an erasure.

    Returns '' for None, which stands for the tenant.
    """
    return "" if subject is None else hashlib.sha256(subject.encode()).hexdigest()
