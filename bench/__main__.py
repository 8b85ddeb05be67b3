"""`python -m bench [measure …] [--on backend …]`: runs measures, prints the table, writes bench/results/<time>.json."""

import argparse
import time

from bench.backends import BACKENDS
from bench.measures import MEASURES
from bench.report import COLUMNS, Row, save


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure. Ratios within one run count; absolute figures differ from machine to machine.",
        epilog="\n".join(f"{name:<10} {_about(name)}" for name in MEASURES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measures", nargs="*", metavar="measure", help="all when none is named")
    parser.add_argument("--on", action="append", choices=list(BACKENDS), help="only on this backend; may be repeated")
    arguments = parser.parse_args()
    names = arguments.measures or list(MEASURES)
    if unknown := set(names) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; choose from {', '.join(MEASURES)}")
    rows: dict[str, list[Row]] = {}
    seconds: dict[str, float] = {}
    print(COLUMNS)
    for name in names:
        print(f"# {name}: {_about(name)}", flush=True)
        began = time.perf_counter()
        rows[name] = []
        for row in MEASURES[name](arguments.on or list(BACKENDS)):
            rows[name].append(row)
            print(row, flush=True)
        seconds[name] = time.perf_counter() - began
    print(f"Written to {save(rows, seconds)}")


def _about(name: str) -> str:
    return (MEASURES[name].__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    main()
