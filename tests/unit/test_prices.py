"""Prices: which one a model has, what a call costs, and files that cannot be used."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError
from app.models.usage import CallUsage, Tokens
from app.prices.file import default_prices, read_prices
from app.prices.table import MAX_MODEL_LENGTH, MAX_TOKENS, PriceTable
from tests.pages import DOCS, named

DEFAULTS = default_prices()


def tokens_of(model: str, provider: str = "", table: PriceTable = DEFAULTS, **counts: Any) -> Tokens:
    return table.usage_of(CallUsage(model, provider, counts)).tokens


def prices_of(folder: Path, text: str) -> PriceTable:
    file = folder / "prices.toml"
    file.write_text(text)
    return read_prices(file)


@pytest.mark.parametrize(
    ("model", "known_as"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4-0613", "gpt-4"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet"),
        ("models/gemini-2.0-flash-001", "gemini-2.0-flash"),
    ],
)
def test_a_dated_or_qualified_name_has_the_price_of_its_model(model: str, known_as: str) -> None:
    assert DEFAULTS.price_of(model) == DEFAULTS.price_of(known_as) is not None


@pytest.mark.parametrize("model", ["llama3", "gpt-4o-audio-preview", "ft:gpt-4o:us::1", "", "/", "a/"])
def test_other_models_have_tokens_and_no_cost(model: str) -> None:
    found = tokens_of(model, input_tokens=3, output_tokens=2)
    assert found == Tokens(1, 3, 2, unpriced_calls=1)
    assert (found.cost, found.cost_complete) == (None, False)


def test_the_embedded_model_costs_nothing() -> None:
    found = tokens_of("SmolLM2-135M-Instruct", "openai", input_tokens=3, output_tokens=2)
    assert (found.cost, found.cost_complete) == ("0", True)


def test_cached_and_written_input_have_their_own_prices() -> None:
    details = {"cache_read": 400, "cache_creation": 200, "ephemeral_1h_input_tokens": 100}
    counts: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 10, "input_token_details": details}
    found = tokens_of("claude-sonnet-4", "anthropic", **counts, output_token_details={"reasoning": 4})
    assert (found.cached_tokens, found.reasoning_tokens) == (400, 4)
    dollars = 300 * Decimal(3) + 400 * Decimal("0.3") + 200 * Decimal("3.75") + 100 * Decimal(6) + 10 * Decimal(15)
    assert Decimal(found.cost or "") == dollars / 10**6


def test_a_long_context_has_its_own_prices() -> None:
    short, long = (tokens_of("gemini-2.5-pro", input_tokens=count).cost for count in (200_000, 200_001))
    assert (short, long) == ("0.25", "0.5000025")


def test_a_service_tier_with_other_prices_has_no_cost() -> None:
    details = {"priority": 5, "priority_cache_read": 3}
    found = tokens_of("gpt-4o", input_tokens=8, output_tokens=1, input_token_details=details)
    assert found == Tokens(1, 8, 1, 3, unpriced_calls=1)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(),
    st.floats(),
    st.dictionaries(st.text(max_size=2), st.integers()),
)
NAMES = ("input_tokens", "output_tokens", "input_token_details", "output_token_details")


@given(st.text(), st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ODD)))
def test_whatever_a_provider_reports_can_be_stored(model: str, counts: dict[str, Any]) -> None:
    found = DEFAULTS.usage_of(CallUsage(model, model, counts))
    assert len(found.model.encode()) <= 4 * MAX_MODEL_LENGTH
    assert "\0" not in found.model
    assert all(type(count) is int and 0 <= count <= 10**10 * MAX_TOKENS for count in found.tokens)


def test_a_file_wins_over_the_defaults_and_needs_no_prices_but_its_own(tmp_path: Path) -> None:
    table = prices_of(
        tmp_path,
        """
        as_of = 2026-01-31
        [models]
        "GPT-4o" = { input = 1, output = 2 }
        "azure:gpt-4o" = { input = 0.25, output = 1e-1 }
        """,
    )
    assert str(table.as_of) == "2026-01-31"
    assert tokens_of("gpt-4o", "openai", table, input_tokens=10**6).cost == "1"
    assert tokens_of("gpt-4o-2024-08-06", "azure", table, input_tokens=10**6, output_tokens=10**6).cost == "0.35"
    assert table.price_of("gpt-4o-mini") == DEFAULTS.price_of("gpt-4o-mini")
    cached = {"cache_read": 10**6}
    assert tokens_of("gpt-4o", table=table, input_tokens=10**6, input_token_details=cached).cost == "1"


def test_the_file_of_the_page_can_be_used(tmp_path: Path) -> None:
    table = prices_of(tmp_path, named(DOCS / "how-to" / "usage-and-cost.md", "file: prices.toml"))
    assert tokens_of("our-model", table=table, input_tokens=10**6).cost == "0.8"
    assert tokens_of("gpt-4o-2024-08-06", "azure", table, output_tokens=10**6).cost == "11"


MODEL = "[models]\nm = { input = 1, output = 2 }\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[models]\nm = { input = "free", output = 2 }',
            "`models.m.input`: expected US dollars per million tokens, a number from 0 to 10000, got 'free'",
        ),
        ("[models]\nm = { input = true, output = 2 }", "`models.m.input`: expected US dollars"),
        ("[models]\nm = { input = nan, output = 2 }", "`models.m.input`: expected US dollars"),
        ("[models]\nm = { input = inf, output = 2 }", "got Infinity"),
        ("[models]\nm = { input = -1, output = 2 }", "got -1"),
        ("[models]\nm = { input = 20000, output = 2 }", "got 20000"),
        ("[models]\nm = { input = 1 }", "`models.m.output`: expected a price, got none"),
        (
            "[models]\nm = { input = 1, output = 2, cached = 3 }",
            "`models.m.cached`: expected only input, output, cached_input",
        ),
        ("[models]\nm = 3", "`models.m`: expected a table with `input` and `output`, got 3"),
        (MODEL + "M = { input = 1, output = 2 }", "`models.M`: expected each model once"),
        ("models = 3", "`models`: expected a table with the names of models"),
        ("[model]", "`model`: expected only as_of, models, long_context"),
        ('as_of = "today"', "`as_of`: expected a date such as 2026-11-29, got 'today'"),
        (
            MODEL + "[long_context]\nn = { above = 1, input = 1, output = 2 }",
            "`long_context.n`: expected a model that `models` has too",
        ),
        (
            MODEL + "[long_context]\nm = { input = 1, output = 2 }",
            "`long_context.m.above`: expected a number of input tokens, got None",
        ),
        (MODEL + "[long_context]\nm = { above = true, input = 1, output = 2 }", "got True"),
        ("[models", "expected TOML, got text with a fault"),
    ],
)
def test_a_file_that_cannot_be_used_is_explained(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        prices_of(tmp_path, text)
    assert str(raised.value).startswith(f"PRICES: {tmp_path / 'prices.toml'}: ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PRICES: .*none.toml: expected a TOML file that can be read"):
        read_prices(tmp_path / "none.toml")
