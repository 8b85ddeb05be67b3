"""Tokens of model calls, and their cost. Costs are whole nano-dollars, so that sums are exact."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Self

NANOS = 10**9
"""Nano-dollars in a US dollar."""


class CallUsage(NamedTuple):
    """One model call, as its provider reports it.

    `counts` is LangChain's `usage_metadata`: numbers by name, and groups of numbers such as `input_token_details`.
    `provider` is LangChain's name of the provider, empty if it is unknown.
    """

    model: str
    provider: str
    counts: Mapping[str, Any]


class Tokens(NamedTuple):
    """Model calls, their tokens and their cost.

    `cached_tokens` are input tokens that the provider had in its cache, a part of `input_tokens`. `reasoning_tokens`
    are a part of `output_tokens`. `cost_nanos` is the cost of the calls whose price is known, in nano-dollars.
    `unpriced_calls` counts the other calls.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    unpriced_calls: int = 0

    def plus(self, other: Self) -> Self:
        """Return the sums of both."""
        return self.__class__(*map(int.__add__, self, other))

    @property
    def cost(self) -> str | None:
        """Return the cost in US dollars as a decimal number; None if no call has a known price."""
        if self.calls and self.unpriced_calls == self.calls:
            return None
        return format((Decimal(self.cost_nanos) / NANOS).normalize(), "f")

    @property
    def cost_complete(self) -> bool:
        """Return whether the price of every call is known."""
        return self.unpriced_calls == 0


class ModelUsage(NamedTuple):
    """The usage of the calls of one model."""

    model: str
    tokens: Tokens


class MeteredCall(NamedTuple):
    """One model call: the counts that its provider reports, and what they come to."""

    counts: Mapping[str, Any]
    usage: ModelUsage


def usage_by_model(used: Iterable[ModelUsage]) -> list[ModelUsage]:
    """Return the sums by model, in the order of the models' names."""
    found: dict[str, Tokens] = {}
    for model, tokens in used:
        found[model] = found[model].plus(tokens) if model in found else tokens
    return [ModelUsage(model, found[model]) for model in sorted(found)]


def add_counts(total: dict[str, Any], counts: Mapping[str, Any]) -> None:
    """Add a provider's counts to `total`, also those in groups. Leave out what is no count."""
    for name, count in counts.items():
        if isinstance(count, Mapping):
            add_counts(total.setdefault(name, {}), count)
        elif isinstance(count, int | float) and math.isfinite(count):
            total[name] = total.get(name, 0) + count


class UsageGroup(StrEnum):
    """A property by which usage is grouped. Days and hours are of UTC."""

    HOUR = "hour"
    DAY = "day"
    TENANT = "tenant"
    KEY = "key"
    SUBJECT = "subject"
    AGENT = "agent"
    MODEL = "model"


class UsageKey(NamedTuple):
    """Names one group of usage. `hour` counts the hours since the epoch up to the group's begin.

    `hour` is 0, and a text is empty, if the usage is not grouped by it. A text is also empty for usage without it, such
    as a message without a subject.
    """

    hour: int = 0
    tenant: str = ""
    key: str = ""
    subject: str = ""
    agent: str = ""
    model: str = ""


class GroupUsage(NamedTuple):
    """The usage of one group."""

    key: UsageKey
    tokens: Tokens


class UsageFilter(NamedTuple):
    """Selects usage from `begin` to before `end`, both whole hours. None means any value.

    `key` is the id of the API key with which messages were submitted.
    """

    begin: datetime
    end: datetime
    tenant: str | None = None
    key: str | None = None
    subject: str | None = None
    agent: str | None = None
    model: str | None = None
