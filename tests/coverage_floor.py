"""Fail when the coverage that was measured is below the floor: `python -m tests.coverage_floor REPORT.json`."""

import json
import sys
from pathlib import Path

BRANCHES, STATEMENTS = 94.0, 98.0
"""Percent. What no test reaches, and why, is listed in CONTRIBUTING."""


def main(report: Path) -> str | None:
    """Return what is wrong; None if the floor holds."""
    totals = json.loads(report.read_text())["totals"]
    branches, statements = totals["percent_branches_covered"], totals["percent_statements_covered"]
    sys.stdout.write(f"Covered: {branches:.1f} % of branches, {statements:.1f} % of statements\n")
    if branches < BRANCHES or statements < STATEMENTS:
        return f"Expected {BRANCHES:g} % of branches and {STATEMENTS:g} % of statements"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
