"""Reads tables of prices from TOML files."""

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .table import MAX_TOKENS, Price, PriceTable, Rates

MAX_PRICE = 10_000
"""Maximum US dollars per million tokens, so that a price with a wrong unit is noticed."""

FIELDS = Rates._fields
_REQUIRED = ("input", "output")
_TOP = ("as_of", "models", "long_context")


@cache
def default_prices() -> PriceTable:
    """Return the table of this package."""
    return _Reader("default.toml").table(files(__package__ or "").joinpath("default.toml").read_text("utf-8"))


def read_prices(file: Path | None) -> PriceTable:
    """Return the prices of a file, and the default prices of the models that it does not name.

    None stands for no file. Raises ConfigurationError, with the file and the field.
    """
    if file is None:
        return default_prices()
    reader = _Reader(str(file))
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise reader.wrong(f"expected a TOML file that can be read ({type(error).__name__}: {error})") from error
    return reader.table(text).with_defaults(default_prices())


class _Reader:
    """Reads one file, and names it in errors."""

    def __init__(self, name: str) -> None:
        self._name = name

    def wrong(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"PRICES: {self._name}: {problem}")

    def table(self, text: str) -> PriceTable:
        try:
            content = tomllib.loads(text, parse_float=Decimal)
        except (tomllib.TOMLDecodeError, ArithmeticError, RecursionError) as error:
            raise self.wrong(f"expected TOML, got text with a fault ({error})") from None
        if unknown := next((name for name in content if name not in _TOP), None):
            raise self.wrong(f"`{unknown}`: expected only {', '.join(_TOP)}")
        as_of = content.get("as_of")
        if as_of is not None and type(as_of) is not date:
            raise self.wrong(f"`as_of`: expected a date such as 2026-11-29, got {as_of!r}")
        models, long = self._section(content, "models"), self._section(content, "long_context")
        if unpriced := next((name for name in long if name not in models), None):
            raise self.wrong(f"`long_context.{unpriced}`: expected a model that `models` has too")
        prices: dict[str, Price] = {}
        for name, fields in models.items():
            if name.lower() in prices:
                raise self.wrong(f"`models.{name}`: expected each model once; upper and lower case are the same")
            rates = self._rates(f"models.{name}", fields, FIELDS)
            prices[name.lower()] = Price(rates, *self._long(name, long[name])) if name in long else Price(rates)
        return PriceTable(prices, as_of)

    def _section(self, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        section = content.get(name, {})
        if not isinstance(section, dict):
            raise self.wrong(f"`{name}`: expected a table with the names of models")
        return section

    def _long(self, name: str, fields: object) -> tuple[int, Rates]:
        place = f"long_context.{name}"
        rates = self._rates(place, fields, ("above", *FIELDS))
        above = fields.get("above") if isinstance(fields, dict) else None
        if type(above) is not int or not 0 <= above <= MAX_TOKENS:
            raise self.wrong(f"`{place}.above`: expected a number of input tokens, got {above!r}")
        return above, rates

    def _rates(self, place: str, fields: object, known: tuple[str, ...]) -> Rates:
        if not isinstance(fields, dict):
            raise self.wrong(f"`{place}`: expected a table with `input` and `output`, got {fields!r}")
        if unknown := next((name for name in fields if name not in known), None):
            raise self.wrong(f"`{place}.{unknown}`: expected only {', '.join(known)}")
        if missing := next((name for name in _REQUIRED if name not in fields), None):
            raise self.wrong(f"`{place}.{missing}`: expected a price, got none")
        given = {name: self._price(f"{place}.{name}", fields[name]) for name in FIELDS if name in fields}
        plain = given["input"]
        write = given.get("cache_write", plain)
        return Rates(
            plain, given["output"], given.get("cached_input", plain), write, given.get("long_cache_write", write)
        )

    def _price(self, place: str, value: object) -> Decimal:
        """Return a price. Raises ConfigurationError unless it is a number from 0 to MAX_PRICE."""
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            price = Decimal(value)
            if price.is_finite() and 0 <= price <= MAX_PRICE:
                return price
        shown = str(value) if isinstance(value, Decimal) else repr(value)
        expected = f"expected US dollars per million tokens, a number from 0 to {MAX_PRICE}"
        raise self.wrong(f"`{place}`: {expected}, got {shown}")
