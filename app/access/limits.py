"""Names the limits and quotas that the new messages of a caller count against."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from ..errors import ThreadNotFound
from ..models.limits import Limit, Limited, Limits, Period
from ..models.messages import NewMessage, Thread
from ..models.tenants import DEFAULT_SETTINGS, NO_QUOTAS, Quotas, TenantSettings
from ..policy.periods import Span, span_of
from ..store.ports import TenantStore
from .hosts import is_loopback, prefix_of
from .principals import Principal

MINUTE = 60

MAX_REMEMBERED = 10_000
"""Maximum number of tenants whose settings are remembered. The least recently used one is dropped."""

NOBODY = ""


class LimitRules(NamedTuple):
    """The server's limits of messages in a minute, where no key or tenant has its own. None stands for no limit."""

    per_key: int | None = None
    per_tenant: int | None = None
    per_subject: int | None = None
    per_address: int | None = None
    queued_per_tenant: int | None = None


class SubmitRules(NamedTuple):
    """The limits that a submit counts against, and how many messages of its tenant may be queued.

    `has_quotas` tells whether a limit holds for one day or month.
    """

    limits: Limits
    queued: int | None
    has_quotas: bool


class Holder(NamedTuple):
    """A tenant, key or end user that has quotas. `names` are the parts of the names of its rows."""

    limited: Limited
    names: tuple[str, ...]
    quotas: Quotas


class TimedTenantStore(TenantStore, Protocol):
    """The port of tenants' settings, and the store's time."""

    def now(self) -> datetime:
        """Return the store's time."""


class CountingStore(TimedTenantStore, Protocol):
    """The part of the store that limits of submits need: the subjects of threads too."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""


class SubmitLimits:
    """Names limits. Remembers the settings of tenants until `forget` is called, after any change of them."""

    def __init__(self, store: CountingStore, rules: LimitRules) -> None:
        self._store = store
        self._rules = rules
        self._tenants: OrderedDict[str, TenantSettings] = OrderedDict()
        self._generation = 0
        self._day: Span | None = None
        self._spans: Mapping[Period, Span] = {}
        self._rules_of: dict[tuple[object, ...], SubmitRules] = {}
        """Rules for single messages, by what they depend on. They hold until a setting or the day changes."""

    def forget(self) -> None:
        """Read all settings again. Those that are being read are not remembered either."""
        self._generation += 1
        self._tenants.clear()
        self._rules_of.clear()

    async def settings_of(self, tenant: str) -> TenantSettings:
        """Return the settings of a tenant."""
        known = self._tenants.get(tenant)
        if known is not None:
            self._tenants.move_to_end(tenant)
            return known
        generation = self._generation
        record = await self._store.get_tenant(tenant)
        settings = DEFAULT_SETTINGS if record is None else record.settings
        if generation == self._generation:
            self._tenants[tenant] = settings
            if len(self._tenants) > MAX_REMEMBERED:
                self._tenants.popitem(last=False)
        return settings

    async def with_subjects(self, caller: Principal, new: Sequence[NewMessage]) -> Sequence[NewMessage]:
        """Return the messages with the end users against whose limits they count: those of their threads by default.

        A thread is read only if end users have limits. The subject of a thread never changes. A thread that these
        messages begin has the subject of its first message.
        """
        if all(each.subject is not None or each.thread_id is None for each in new):
            return new
        settings = await self.settings_of(caller.tenant)
        most = _chosen(settings.limits.subject_submits_per_minute, self._rules.per_subject)
        if not most and settings.subject_quotas == NO_QUOTAS:
            return new
        subjects: dict[str, str | None] = {}
        for each in new:
            if each.subject is None and each.thread_id is not None and each.thread_id not in subjects:
                try:
                    subjects[each.thread_id] = (await self._store.get_thread(caller.tenant, each.thread_id)).subject
                except ThreadNotFound:
                    subjects[each.thread_id] = next(one.subject for one in new if one.thread_id == each.thread_id)
        return [each._replace(subject=each.subject or subjects.get(each.thread_id or "")) for each in new]

    async def of(self, caller: Principal, new: Sequence[NewMessage], address: str | None) -> SubmitRules:
        """Return the limits that new messages of a caller count against. `address` is where the request comes from."""
        generation = self._generation
        settings = await self.settings_of(caller.tenant)
        if len(new) != 1:
            return self._made(caller, settings, new, address)
        name = (
            caller.tenant, caller.key_id, caller.key_limit, caller.key_quotas, caller.rate_per_minute, caller.subject,
            caller.by_token, new[0].subject, address,
        )  # fmt: skip
        rules = self._rules_of.get(name)
        if rules is not None and rules.has_quotas and not self._is_present_day():
            rules = None
        if rules is None:
            rules = self._made(caller, settings, new, address)
            if generation == self._generation:
                if len(self._rules_of) >= MAX_REMEMBERED:
                    self._rules_of.clear()
                self._rules_of[name] = rules
        return rules

    def _made(
        self, caller: Principal, settings: TenantSettings, new: Sequence[NewMessage], address: str | None
    ) -> SubmitRules:
        subjects = Counter(each.subject for each in new if each.subject is not None)
        limits = Limits(
            *self._rates(caller, settings, address, len(new)),
            *self._of_subjects(caller.tenant, settings, subjects),
            *self._quotas(self.holders(caller, settings), len(new)),
        )
        queued = settings.limits.queued
        has_quotas = any(each.period is not None for each in limits)
        return SubmitRules(limits, self._rules.queued_per_tenant if queued is None else queued or None, has_quotas)

    def holders(self, caller: Principal, settings: TenantSettings) -> list[Holder]:
        """Return who has quotas that the messages of a caller count against, without end users."""
        tenant = Holder(Limited.TENANT, (caller.tenant,), settings.quotas)
        if caller.key_id is None:
            return [tenant]
        return [tenant, Holder(Limited.KEY, (caller.key_id,), caller.key_quotas)]

    def span(self, period: Period) -> Span:
        """Return the present day or month."""
        if not self._is_present_day():
            now = self._store.now()
            self._spans = {each: span_of(each, now) for each in Period}
            self._day = self._spans[Period.DAY]
            self._rules_of.clear()
        return self._spans[period]

    def _is_present_day(self) -> bool:
        return self._day is not None and self._day.begin <= self._store.now() < self._day.end

    def _rates(self, caller: Principal, settings: TenantSettings, address: str | None, count: int) -> Iterator[Limit]:
        most = _chosen(settings.limits.submits_per_minute, self._rules.per_tenant)
        if most:
            yield _rate(Limited.TENANT, most, count, caller.tenant)
        if caller.key_id is not None:
            if most := _chosen(caller.key_limit, self._rules.per_key):
                yield _rate(Limited.KEY, most, count, caller.key_id)
        elif self._rules.per_address and not caller.by_token and address is not None and not is_loopback(address):
            yield _rate(Limited.ADDRESS, self._rules.per_address, count, prefix_of(address))
        if caller.rate_per_minute:
            names = (caller.tenant, caller.key_id or NOBODY, caller.subject or NOBODY)
            yield _rate(Limited.TOKEN, caller.rate_per_minute, count, *names)

    def _of_subjects(self, tenant: str, settings: TenantSettings, subjects: Mapping[str, int]) -> Iterator[Limit]:
        if not subjects:
            return
        most = _chosen(settings.limits.subject_submits_per_minute, self._rules.per_subject)
        for subject, count in subjects.items():
            if most:
                yield _rate(Limited.SUBJECT, most, count, tenant, subject)
            yield from self._quotas([Holder(Limited.SUBJECT, (tenant, subject), settings.subject_quotas)], count)

    def _quotas(self, holders: Sequence[Holder], count: int) -> Iterator[Limit]:
        for holder in holders:
            for period, most in message_quotas(holder.quotas):
                yield self.quota(holder, period, most, count)

    def quota(self, holder: Holder, period: Period, most: int, count: int = 1) -> Limit:
        """Return the quota of messages of a tenant, key or end user in the present period."""
        span = self.span(period)
        name = f"{_row_name(holder.limited.name, *holder.names)}:{span.name}"
        policy = f"{holder.limited.name.lower()}-messages-{period}"
        return Limit(name, policy, holder.limited, most, span.seconds, period, span.resets_at, count)


def message_quotas(quotas: Quotas) -> Iterator[tuple[Period, int]]:
    """Yield the quotas of messages."""
    if quotas.messages_per_day is not None:
        yield Period.DAY, quotas.messages_per_day
    if quotas.messages_per_month is not None:
        yield Period.MONTH, quotas.messages_per_month


def token_quotas(quotas: Quotas) -> Iterator[tuple[Period, int]]:
    """Yield the quotas of tokens."""
    if quotas.tokens_per_day is not None:
        yield Period.DAY, quotas.tokens_per_day
    if quotas.tokens_per_month is not None:
        yield Period.MONTH, quotas.tokens_per_month


def _chosen(own: int | None, servers: int | None) -> int | None:
    """Return the limit that counts: the own one, or else the server's. 0 stands for no limit."""
    return servers if own is None else own


def _rate(limited: Limited, most: int, count: int, *names: str) -> Limit:
    """Return a limit of messages in a minute.

    The name of its row has the maximum: a row tells how long it takes until the whole limit is left, which would be
    another number of messages under another limit. A changed limit therefore begins anew.
    """
    kind = limited.name
    return Limit(_row_name(kind, str(most), *names), kind.lower(), limited, most, MINUTE, amount=count)


@lru_cache(maxsize=MAX_REMEMBERED)
def _row_name(kind: str, *names: str) -> str:
    """Return the name of a row: a hash, so that rows have no text of users, and erasing a user need not find them."""
    text = "\0".join(names)  # no name has this character
    return f"{kind.lower()}:{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
