"""Measures what API keys cost."""

from collections.abc import Iterator, Sequence

from bench.measures.side_by_side import made_key, submits_side_by_side
from bench.report import Row, ratios, row


def keys(backends: Sequence[str]) -> Iterator[Row]:
    """Measure POST /messages with an API key against a server without keys, round by round."""
    for name in backends:
        with_key, without = submits_side_by_side(name, made_key, lambda _: ())
        yield row(f"submits with a key, {name}", with_key, "1/s")
        yield row("  on a server without keys", without, "1/s")
        yield row("  ratio", ratios(with_key, without), least=0.95)
