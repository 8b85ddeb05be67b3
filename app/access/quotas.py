"""Checks quotas of tokens before messages are accepted, and tells what is left of all quotas.

Messages count in the transaction that accepts them, see `limits`. Tokens are used later: they are summed from the usage
of hours, which is stored together with the event that tells of them.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from ..errors.limits import QuotaExceeded
from ..models.limits import Limited, Period
from ..models.tenants import Quotas as QuotaSettings
from ..models.usage import UsageFilter
from ..policy.periods import Span
from ..store.ports import LimitStore, UsageStore
from .limits import Holder, SubmitLimits, message_quotas, token_quotas
from .principals import Principal

FRESH_SECONDS = 1.0
"""How long the sum of the present hour is used again."""

MAX_REMEMBERED = 10_000
"""Maximum number of sums of past hours that are remembered."""


class QuotaUse(NamedTuple):
    """A quota of a tenant, key or end user, and how much of it is used. `unit` is `messages` or `tokens`."""

    limited: Limited
    unit: str
    period: Period
    limit: int
    used: int
    resets_at: datetime

    @property
    def left(self) -> int:
        """Return how much may still be used."""
        return max(0, self.limit - self.used)


class QuotaStore(LimitStore, UsageStore, Protocol):
    """The ports of quotas, and the store's time."""

    def now(self) -> datetime:
        """Return the store's time."""


class _Sums(NamedTuple):
    """Tokens of a period: those up to the hour `until`, those of that hour, and when they were read."""

    until: datetime
    before: int
    present: int
    read_at: float


class QuotaChecks:
    """Checks and tells quotas. A sum is read again after FRESH_SECONDS; only its present hour may have changed."""

    def __init__(self, store: QuotaStore, limits: SubmitLimits) -> None:
        self._store = store
        self._limits = limits
        self._sums: OrderedDict[tuple[UsageFilter, str], _Sums] = OrderedDict()

    async def concern_subjects(self, tenant: str) -> bool:
        """Return whether the end users of a tenant have quotas of tokens."""
        return (await self._limits.settings_of(tenant)).subject_quotas.has_tokens

    async def check(self, caller: Principal, subjects: Iterable[str | None]) -> None:
        """Raise QuotaExceeded if a quota of tokens that a caller's messages would use is used up.

        `subjects` are the end users of the messages. They may repeat, and None stands for no end user.
        """
        settings = await self._limits.settings_of(caller.tenant)
        of_subjects = settings.subject_quotas.has_tokens
        if not (of_subjects or settings.quotas.has_tokens or caller.key_quotas.has_tokens):
            return
        holders = self._limits.holders(caller, settings)
        if of_subjects:
            named = dict.fromkeys(each for each in subjects if each is not None)
            holders += [self._of_subject(caller.tenant, each, settings.subject_quotas) for each in named]
        for holder in holders:
            for period, most in token_quotas(holder.quotas):
                used = await self._tokens(caller.tenant, holder, period)
                if used >= most:
                    raise self._exceeded(holder, period, most, used)

    async def uses(self, tenant: str, caller: Principal | None, subject: str | None) -> list[QuotaUse]:
        """Return the quotas of a tenant, of the caller's key if there is a caller, and of an end user.

        Sums of tokens are read again.
        """
        settings = await self._limits.settings_of(tenant)
        holders = [Holder(Limited.TENANT, (tenant,), settings.quotas)]
        if caller is not None and caller.tenant == tenant:
            holders = self._limits.holders(caller, settings)
        if subject is not None:
            holders.append(self._of_subject(tenant, subject, settings.subject_quotas))
        uses: list[QuotaUse] = []
        for holder in holders:
            counted = [self._limits.quota(holder, *quota) for quota in message_quotas(holder.quotas)]
            values = await self._store.limit_values([each.name for each in counted]) if counted else {}
            uses += [
                self._use(holder, "messages", each.period, each.most, values.get(each.name, 0))
                for each in counted
                if each.period is not None
            ]
            for period, most in token_quotas(holder.quotas):
                used = await self._tokens(tenant, holder, period, anew=True)
                uses.append(self._use(holder, "tokens", period, most, used))
        return uses

    def _of_subject(self, tenant: str, subject: str, quotas: QuotaSettings) -> Holder:
        return Holder(Limited.SUBJECT, (tenant, subject), quotas)

    def _use(self, holder: Holder, unit: str, period: Period, most: int, used: int) -> QuotaUse:
        return QuotaUse(holder.limited, unit, period, most, used, self._limits.span(period).end)

    def _exceeded(self, holder: Holder, period: Period, most: int, used: int) -> QuotaExceeded:
        span = self._limits.span(period)
        return QuotaExceeded(
            holder.limited, unit="tokens", period=period, policy=f"{holder.limited.name.lower()}-tokens-{period}",
            most=most, window_seconds=span.seconds, left=max(0, most - used), resets_at=span.end,
            wait=(span.end - self._store.now()).total_seconds(),
        )  # fmt: skip

    async def _tokens(self, tenant: str, holder: Holder, period: Period, *, anew: bool = False) -> int:
        """Return the tokens that were used in the present period. The sum may be FRESH_SECONDS old unless `anew`."""
        span = self._limits.span(period)
        hour = self._store.now().replace(minute=0, second=0, microsecond=0)
        chosen = _filter(tenant, holder, span)
        name = (chosen, span.name)
        known = self._sums.get(name)
        if known is None or known.until != hour:
            before = await self._sum(chosen._replace(end=hour)) if hour > span.begin else 0
            known = _Sums(hour, before, 0, 0.0)
        if anew or time.monotonic() - known.read_at > FRESH_SECONDS:
            present = await self._sum(chosen._replace(begin=hour))
            known = known._replace(present=present, read_at=time.monotonic())
        self._sums[name] = known
        self._sums.move_to_end(name)
        if len(self._sums) > MAX_REMEMBERED:
            self._sums.popitem(last=False)
        return known.before + known.present

    async def _sum(self, chosen: UsageFilter) -> int:
        found = await self._store.list_usage(chosen, frozenset(), after=None, limit=1)
        return sum(each.tokens.input_tokens + each.tokens.output_tokens for each in found)


def _filter(tenant: str, holder: Holder, span: Span) -> UsageFilter:
    """Return what selects the usage of a tenant, key or end user in a period."""
    key = holder.names[0] if holder.limited is Limited.KEY else None
    subject = holder.names[1] if holder.limited is Limited.SUBJECT else None
    return UsageFilter(span.begin, span.end, tenant, key, subject)
