"""`python -m bench [measure …]`: runs the measures, prints the table, writes bench/results/<time>.json."""

import argparse
import json
import os
import platform
import time
from pathlib import Path

from bench.measures import MEASURES, Row


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure; ratios count, absolute figures vary."
    )
    parser.add_argument("measures", nargs="*", choices=[[], *MEASURES], help="all when none is named")
    names = parser.parse_args().measures or list(MEASURES)
    rows: list[Row] = []
    print(f"{'measure':<40} {'median':>10} {'low':>10} {'high':>10} unit  goal")
    for name in names:
        for row in MEASURES[name]():
            rows.append(row)
            print(f"{row.what:<40} {row.median:>10.2f} {row.low:>10.2f} {row.high:>10.2f} {row.unit:<5} {row.goal}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    report = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "rows": [row._asdict() for row in rows],
    }
    (results / f"{report['at'].replace(':', '')}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
