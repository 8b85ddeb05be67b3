"""Measures what limits and quotas of submits cost."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from bench.measures.side_by_side import made_key, submits_side_by_side
from bench.report import Row, ratios, row

HIGH = "1000000"
LIMITS = {"SUBMITS_PER_MINUTE_PER_KEY": HIGH, "SUBMITS_PER_MINUTE_PER_TENANT": HIGH}
QUOTAS = [f"--quota={name}=100000000" for name in ("messages_per_day", "messages_per_month")]


def limits(backends: Sequence[str]) -> Iterator[Row]:
    """Measure POST /messages with two limits and two quotas against the same server without any, round by round."""
    for name in backends:
        limited, free = submits_side_by_side(name, with_quotas, made_key, **LIMITS)
        yield row(f"submits with limits and quotas, {name}", limited, "1/s")
        yield row("  on a server without limits", free, "1/s")
        yield row("  ratio", ratios(limited, free), least=0.95)


def with_quotas(environment: Mapping[str, str]) -> Sequence[str]:
    """Give the tenant two quotas, and make an API key that may submit."""
    key = made_key(environment)
    command = [sys.executable, "-m", "app.cli", "tenants", "set", "default", *QUOTAS]
    subprocess.check_call(command, env=environment, stdout=subprocess.DEVNULL)
    return key
