"""The house: small modules, and stores with the same rooms, where a verb is found in the file of its port."""

import ast
import inspect
from pathlib import Path

import pytest

from app.store import ports
from app.store.postgres.store import PostgresStore
from app.store.redis.store import RedisStore
from app.store.sqlite.store import SqliteStore

ROOMS = {
    "accept": ports.AcceptStore,
    "control": ports.ControlStore,
    "attempts": ports.AttemptStore,
    "events": ports.EventLog,
    "queries": ports.QueryStore,
    "threads": ports.ThreadStore,
    "upkeep": ports.UpkeepStore,
    "webhooks": ports.WebhookStore,
    "workers": ports.WorkerStore,
    "items": ports.ItemStore,
    "limits": ports.LimitStore,
    "access": ports.AccessStore,
    "tokens": ports.TokenStore,
    "tenants": ports.TenantStore,
    "erasures": ports.ErasureStore,
    "traces": ports.TraceStore,
    "statistics": ports.StatisticsStore,
    "shares": ports.ShareStore,
    "transitions": ports.TransitionLog,
    "usage": ports.UsageStore,
    "audit": ports.AuditStore,
    "diagnosis": ports.DiagnosisStore,
    "counts": ports.CountStore,
    "storage": ports.StorageStore,
    "signals": ports.Notifier,
}
ENGINES = {"sqlite": SqliteStore, "postgres": PostgresStore, "redis": RedisStore}
MOST_VERBS = 12


def verbs(port: type) -> set[str]:
    """The methods that a port declares itself."""
    return {name for name, member in vars(port).items() if inspect.isfunction(member) and not name.startswith("_")}


def room_of(store: type, verb: str) -> str:
    """The file of the class that has this verb."""
    owner = next(base for base in store.__mro__ if verb in vars(base))
    return owner.__module__.rpartition(".")[2]


def test_every_port_has_a_room() -> None:
    of_store = {
        port for port in ports.Store.__mro__ if port.__module__.startswith(ports.__name__) and port is not ports.Store
    }
    assert of_store == set(ROOMS.values())


def test_ports_are_narrow() -> None:
    counts = {room: len(verbs(port)) for room, port in ROOMS.items()}
    assert {room: count for room, count in counts.items() if not 0 < count <= MOST_VERBS} == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_each_verb_is_found_in_the_file_of_its_port(engine: str) -> None:
    expected = {(room, verb): room for room, port in ROOMS.items() for verb in verbs(port)}
    assert {(room, verb): room_of(ENGINES[engine], verb) for room, verb in expected} == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_every_room(engine: str) -> None:
    folder = Path(inspect.getfile(ENGINES[engine])).parent
    assert {*ROOMS, "connection", "store"} <= {file.stem for file in folder.glob("*.py")}


APP = Path(inspect.getfile(ports)).parents[2]
MODULE_LINES, FUNCTION_LINES = 400, 60
TEST_LINES = 500
"""Maximum lines of a module of tests, or of what tests share. Its cases are read one by one."""


def large_parts(text: str) -> dict[str, int]:
    """Return the lines of a module and of its functions, where they are too many."""
    found = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES
    }
    lines = text.count("\n")
    return found | ({"module": lines} if lines > MODULE_LINES else {})


def test_modules_and_functions_are_small() -> None:
    parts = {str(path.relative_to(APP)): large_parts(path.read_text("utf-8")) for path in sorted(APP.rglob("*.py"))}
    assert len(parts) > 100
    assert {name: large for name, large in parts.items() if large} == {}


def test_modules_of_tests_are_small() -> None:
    tests = APP.parent / "tests"
    lines = {
        path.relative_to(tests): path.read_text("utf-8").count("\n")
        for path in tests.rglob("*.py")
        if "node_modules" not in path.parts
    }
    assert len(lines) > 300
    assert {name: count for name, count in lines.items() if count > TEST_LINES} == {}
