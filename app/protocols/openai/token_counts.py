"""Adds up the tokens of a run, and shows them in the forms of OpenAI's clients. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class TokenCounts(NamedTuple):
    """The tokens that model calls of a run took. Cached and reasoning tokens are parts of the others."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    def plus(self, models: Mapping[str, Mapping[str, Any]]) -> "TokenCounts":
        """Return the counts with those of an event `usage`."""
        total = self
        for counts in models.values():
            total = TokenCounts(
                total.input + _count(counts, "input_tokens"),
                total.output + _count(counts, "output_tokens"),
                total.cached + _count(counts.get("input_token_details"), "cache_read"),
                total.reasoning + _count(counts.get("output_token_details"), "reasoning"),
            )
        return total

    def of_response(self) -> dict[str, Any]:
        """Return the usage of a response."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }

    def of_completion(self) -> dict[str, Any]:
        """Return the usage of a chat completion."""
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


def _count(counts: object, name: str) -> int:
    found = counts.get(name) if isinstance(counts, Mapping) else None
    return int(found) if isinstance(found, int | float) else 0
