"""Finds settings of a tenant that contradict each other."""

from collections.abc import Iterator
from typing import NamedTuple

from ..models.keys import KeyCounts
from ..models.tenants import Quotas, TenantLimits, TenantSettings


class Contradiction(NamedTuple):
    """A field whose value contradicts another one, and why."""

    field: str
    text: str


def contradiction(settings: TenantSettings, max_queue_size: int) -> Contradiction | None:
    """Return the first contradiction in the settings of a tenant, None if there is none.

    `max_queue_size` is the server's limit of queued messages. A limit of 0, which stands for none, contradicts nothing.
    """
    return next(_contradictions(settings, max_queue_size), None)


def contradiction_of_key(counts: KeyCounts, settings: TenantSettings) -> Contradiction | None:
    """Return the first contradiction in limits and quotas of a key, or with the settings of its tenant."""
    return next(_of_key(counts, settings), None)


def _of_key(counts: KeyCounts, settings: TenantSettings) -> Iterator[Contradiction]:
    yield from _of_periods("quotas", counts.quotas)
    whole, part = settings.limits.submits_per_minute, counts.limits.submits_per_minute
    if whole and part is not None and part > whole:
        text = f"expected at most the limit of the tenant, which is {whole}: no key can submit more than its tenant"
        yield Contradiction("limits.submits_per_minute", text)
    for unit in Quotas._fields:
        whole, part = getattr(settings.quotas, unit), getattr(counts.quotas, unit)
        if whole and part is not None and part > whole:
            text = f"expected at most the quota of the tenant, which is {whole}: no key can use more than its tenant"
            yield Contradiction(f"quotas.{unit}", text)


def _contradictions(settings: TenantSettings, max_queue_size: int) -> Iterator[Contradiction]:
    yield from _of_limits(settings.limits, max_queue_size)
    for name, quotas in (("quotas", settings.quotas), ("subject_quotas", settings.subject_quotas)):
        yield from _of_periods(name, quotas)
    for unit in Quotas._fields:
        whole, part = getattr(settings.quotas, unit), getattr(settings.subject_quotas, unit)
        if whole and part is not None and part > whole:
            text = f"expected at most quotas.{unit}, which is {whole}: no end user can use more than the tenant"
            yield Contradiction(f"subject_quotas.{unit}", text)


def _of_limits(limits: TenantLimits, max_queue_size: int) -> Iterator[Contradiction]:
    whole, part = limits.submits_per_minute, limits.subject_submits_per_minute
    if whole and part is not None and part > whole:
        text = (
            f"expected at most limits.submits_per_minute, which is {whole}: no end user can submit more than the tenant"
        )
        yield Contradiction("limits.subject_submits_per_minute", text)
    if limits.queued is not None and limits.queued > max_queue_size:
        text = f"expected at most MAX_QUEUE_SIZE, which is {max_queue_size}: the queue holds no more"
        yield Contradiction("limits.queued", text)


def _of_periods(name: str, quotas: Quotas) -> Iterator[Contradiction]:
    for unit in ("messages", "tokens"):
        day, month = getattr(quotas, f"{unit}_per_day"), getattr(quotas, f"{unit}_per_month")
        if month and day is not None and day > month:
            text = f"expected at most {name}.{unit}_per_month, which is {month}: no day can have more than its month"
            yield Contradiction(f"{name}.{unit}_per_day", text)
