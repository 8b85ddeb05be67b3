"""Finds the price of a model by its name, and computes what its calls cost. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from ..models.usage import NANOS, CallUsage, ModelUsage, Tokens
from ..text import scrubbed

MAX_TOKENS = 10**9
"""Maximum tokens of one call. A provider that reports more, or less than 0, is taken to report none."""

MAX_MODEL_LENGTH = 255
"""Maximum characters of a model's name. Longer names are cut."""

_MILLION = 10**6

_SUFFIX = re.compile(r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d|-\d{3,4}|-latest)$")
"""The date or number of a version at the end of a model's name, such as `-2024-08-06`, `-20250514` or `-001`."""

_CACHE_READ, _CACHE_WRITES, _LONG_CACHE_WRITE = (
    "cache_read",
    ("cache_creation", "ephemeral_5m_input_tokens"),
    "ephemeral_1h_input_tokens",
)
_TIERS = ("priority", "flex")
"""Service tiers of OpenAI with prices of their own. LangChain puts their names before those of the details."""


class Rates(NamedTuple):
    """US dollars per million tokens.

    `cached_input` is for input that the provider had in its cache. `cache_write` and `long_cache_write` are for input
    that it puts there, for some minutes or for an hour.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_write: Decimal
    long_cache_write: Decimal


class Price(NamedTuple):
    """The price of a model. Calls with more than `above` input tokens have the rates `long_context`."""

    rates: Rates
    above: int = MAX_TOKENS
    long_context: Rates | None = None

    def rates_of(self, input_tokens: int) -> Rates:
        """Return the rates for a call with so many input tokens."""
        return self.rates if self.long_context is None or input_tokens <= self.above else self.long_context


class PriceTable:
    """The prices of models by their names, in lower case. `as_of` is the date of the prices, None without one."""

    def __init__(self, prices: Mapping[str, Price], as_of: date | None = None) -> None:
        self._prices = prices
        self.as_of = as_of

    def with_defaults(self, defaults: "PriceTable") -> "PriceTable":
        """Return a table that has the prices of `defaults` for models that this one does not name."""
        return PriceTable({**defaults._prices, **self._prices}, self.as_of or defaults.as_of)

    def price_of(self, model: str, provider: str = "") -> Price | None:
        """Return the price of a model; None if it is unknown.

        Looks for `provider:model`, then for `model`. Then looks for both without the version at the end of the name,
        and for the part of the name after the last slash.
        """
        for name in _names_of(model.lower()):
            for key in (f"{provider.lower()}:{name}", name):
                if (price := self._prices.get(key)) is not None:
                    return price
        return None

    def usage_of(self, call: CallUsage) -> ModelUsage:
        """Return the tokens and the cost of one model call. The cost is rounded to nano-dollars."""
        inputs, outputs = _group(call.counts, "input_token_details"), _group(call.counts, "output_token_details")
        tokens = Tokens(
            calls=1,
            input_tokens=_count(call.counts.get("input_tokens")),
            output_tokens=_count(call.counts.get("output_tokens")),
            cached_tokens=_sum(inputs, _CACHE_READ),
            reasoning_tokens=_sum(outputs, "reasoning"),
            unpriced_calls=1,
        )
        price = self.price_of(call.model, call.provider)
        if price is not None and not any(tier in inputs or tier in outputs for tier in _TIERS):
            cost = _cost(price.rates_of(tokens.input_tokens), tokens, inputs)
            tokens = tokens._replace(cost_nanos=cost, unpriced_calls=0)
        return ModelUsage(scrubbed(call.model)[:MAX_MODEL_LENGTH], tokens)


def _names_of(model: str) -> Iterator[str]:
    for name in dict.fromkeys((model, model.rpartition("/")[2])):
        yield name
        if (shorter := _SUFFIX.sub("", name)) != name:
            yield shorter


def _cost(rates: Rates, tokens: Tokens, inputs: Mapping[str, Any]) -> int:
    """Return what a call costs, in nano-dollars. `inputs` has the details of its input tokens."""
    written = sum(_count(inputs.get(name)) for name in _CACHE_WRITES)
    long_written = _count(inputs.get(_LONG_CACHE_WRITE))
    plain = max(0, tokens.input_tokens - tokens.cached_tokens - written - long_written)
    dollars = (
        plain * rates.input
        + tokens.cached_tokens * rates.cached_input
        + written * rates.cache_write
        + long_written * rates.long_cache_write
        + tokens.output_tokens * rates.output
    ) / _MILLION
    return int((dollars * NANOS).to_integral_value(ROUND_HALF_EVEN))


def _group(counts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = counts.get(name)
    return group if isinstance(group, Mapping) else {}


def _sum(group: Mapping[str, Any], name: str) -> int:
    """Return the count of this name and of its tiers, such as `priority_cache_read`."""
    return sum(_count(group.get(key)) for key in (name, *(f"{tier}_{name}" for tier in _TIERS)))


def _count(value: object) -> int:
    """Return a number of tokens that can be stored; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKENS:
        return 0
    return int(value)
