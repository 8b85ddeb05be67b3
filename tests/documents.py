"""The generated documents and parts of pages. `make docs` writes them, `tests/unit/test_documents.py` compares them."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path

from app.api import websocket_frames as frames
from app.config import Settings
from app.main import create_app
from app.observability.metric_definitions import OF_PROCESSES, OF_QUEUE, MetricDefinition
from app.policy import lifecycle
from tests.pages import DOCS, PROJECT, ROOT

REFERENCE = DOCS / "reference"
ARCHITECTURE = DOCS / "explanation" / "architecture.md"

STATE_MACHINE = """# The life of a message

`make docs` draws this from the table in `app/policy/lifecycle.py`. A store makes these transitions and no others.
Each is one transaction together with its event. The [glossary](../explanation/architecture.md#words) defines the words.

```mermaid
{diagram}
```
"""

INTERVALS = [
    ("events.tail.POLL_SECONDS", "a reader looks at its log without a hint"),
    (
        "events.tail.POSITION_SECONDS",
        "a waiting reader is told its position at most this often, less often when many wait",
    ),
    ("worker.POLL_SECONDS", "a worker asks for messages without a hint"),
    ("worker.CANCELS_SECONDS", "minimum between heartbeats triggered by cancellations"),
    ("maintenance.PROMOTE_SECONDS", "delayed messages that are due become ready"),
    ("maintenance.VERSIONS_SECONDS", "messages whose agent's version has gone get another"),
    ("maintenance.FORGET_SECONDS", "what agents remember of a deleted thread is deleted, if the deletion was cut off"),
    ("maintenance.PRUNE_SECONDS", "old events and messages are deleted"),
    ("maintenance.COUNTS_SECONDS", "counters are compared with a listing of the messages, and repaired"),
    ("webhooks.sender.POLL_SECONDS", "a process looks for due deliveries"),
    ("store.sqlite.signals.HINT_POLL_SECONDS", "`sqlite-hints` looks for writes of other processes"),
    ("store.postgres.watchdog.EXCHANGE_SECONDS", "maximum wait for an answer of PostgreSQL"),
]
OF_A_LEASE = [
    ("beat_seconds", "a worker renews its leases"),
    ("self_stop_seconds", "a worker without a heartbeat for this long stops its runs"),
    ("rescue_seconds", "a process looks for leases that ran out"),
]
METRICS = """# Metrics

`make docs` makes this page from `app/observability/metric_definitions.py`.
[Watch metrics](../how-to/watch-metrics.md) says how to scrape and push them. Times are in seconds. A histogram has the
samples `NAME_bucket`, `NAME_sum` and `NAME_count`. Its buckets go from 5 ms to an hour, those of the store and of
heartbeats from 0.5 ms to 10 s. Labels have at most 100 different agents, models and error codes; further ones are
`other`.

## Of each process

Add the values of all processes. They begin at 0 when a process starts.

{processes}

Each process also gives `process_…` and `python_…` metrics, unless `PROMETHEUS_MULTIPROC_DIR` is set: processor time,
memory, file descriptors, garbage collections.

## Of the queue

They are read from the database at a scrape and are the same in all API processes. Take the maximum, not the sum.
Workers on `METRICS_PORT` do not give them; pushes by OTLP do.

{queue}
"""
LIMITS = [
    ("store.sql.group_commit.MAX_BATCH", "pieces of work in one transaction"),
    ("events.tail.READERS_A_POLL", "readers that look without a hint in each interval, all messages together"),
]


@cache
def openapi() -> str:
    """The description that the server gives at `/openapi.json`."""
    settings = Settings(_env_file=None, database_url="sqlite:///never-opened.db")
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def websocket_schema() -> str:
    """JSON Schema of the frames of `/ws`."""
    return json.dumps(frames.json_schema(), indent=2, ensure_ascii=False) + "\n"


def table_of(definitions: Iterable[MetricDefinition]) -> str:
    """The table of some metrics."""
    rows = [
        f"| `{each.shown_name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels) or '–'} | "
        f"{each.meaning} |"
        for each in definitions
    ]
    return "\n".join(["| Name | Kind | Labels | Meaning |", "|---|---|---|---|", *rows])


def first_sentence(module: str) -> str:
    """Return the first sentence of a module or package of the server."""
    path = ROOT / "app" / f"{module}.py"
    source = path if path.exists() else ROOT / "app" / module / "__init__.py"
    documentation = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    return re.split(r"(?<=[.])\s", documentation.partition("\n\n")[0].replace("\n", " "))[0]


def rows_of_layers() -> Iterator[tuple[int, str]]:
    """The modules with the number of their layer, from the top."""
    layers = next(each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers")["layers"]
    for number, layer in enumerate(layers, 1):
        for module in layer.split(" | "):
            yield number, module


def layers() -> str:
    """The table of layers, as import-linter checks them."""
    rows = [f"| {number} | `{module}` | {first_sentence(module)} |" for number, module in rows_of_layers()]
    return "\n".join(["| Layer | Module | In its own words |", "|---|---|---|", *rows])


def constant(place: str) -> float:
    """The value of a constant, by its module and name."""
    module, _, name = place.rpartition(".")
    return float(getattr(import_module(f"app.{module}"), name))


def intervals() -> str:
    """The table of polling intervals and limits."""
    lease = Settings(_env_file=None, lease_seconds=60)
    shares = [(Fraction(getattr(lease, name) / 60).limit_denominator(100), what) for name, what in OF_A_LEASE]
    rows = [
        *(f"| {constant(place) * 1000:g} ms | {what} |" for place, what in INTERVALS if constant(place) < 1),
        *(f"| {constant(place):g} s | {what} |" for place, what in INTERVALS if constant(place) >= 1),
        *(f"| {share} of `LEASE_SECONDS` | {what} |" for share, what in shares),
        *(f"| {constant(place):,g} | {what} |" for place, what in LIMITS),
    ]
    return "\n".join(["| Interval or limit | Of |", "|---|---|", *rows])


def meanings() -> str:
    """Return the comment of each setting in `.env.example`, by its name."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines():
        if line.startswith("# "):
            comment.append(line.removeprefix("# "))
            continue
        if "=" in line:
            found[line.partition("=")[0]] = re.sub(r"; see \S+\.md", "", " ".join(comment))  # is not installed
        comment = []
    ordered = {name.upper(): found[name.upper()] for name in Settings.model_fields}
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def with_parts(page: Path, **parts: str) -> str:
    """The page with its parts between `<!-- generated: name -->` and `<!-- end -->` made anew."""
    text = page.read_text("utf-8")
    for name, part in parts.items():
        mark = f"<!-- generated: {name} -->\n"
        before, _, rest = text.partition(mark)
        _, end, after = rest.partition("<!-- end -->")
        assert end, f"{page.name} has no part {name}"
        text = f"{before}{mark}{part}\n{end}{after}"
    return text


GENERATORS: dict[Path, Callable[[], str]] = {
    REFERENCE / "openapi.json": openapi,
    REFERENCE / "websocket.schema.json": websocket_schema,
    ROOT / "app" / "config" / "meanings.json": meanings,
    REFERENCE / "metrics.md": lambda: METRICS.format(processes=table_of(OF_PROCESSES), queue=table_of(OF_QUEUE)),
    REFERENCE / "state-machine.md": lambda: STATE_MACHINE.format(diagram=lifecycle.as_mermaid()),
    ARCHITECTURE: lambda: with_parts(ARCHITECTURE, layers=layers(), intervals=intervals()),
}
"""How to make each generated document. Collecting tests makes none: that would cost each test process a second."""


if __name__ == "__main__":
    for path, generate in GENERATORS.items():
        path.write_text(generate(), "utf-8")
