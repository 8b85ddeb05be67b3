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
    "access": ports.AccessStore,
    "tokens": ports.TokenStore,
    "traces": ports.TraceStore,
    "statistics": ports.StatisticsStore,
    "transitions": ports.TransitionLog,
    "usage": ports.UsageStore,
    "audit": ports.AuditStore,
    "diagnosis": ports.DiagnosisStore,
    "counts": ports.CountStore,
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


@pytest.mark.parametrize("port", ROOMS.values(), ids=list(ROOMS))
def test_a_port_is_narrow(port: type) -> None:
    assert 0 < len(verbs(port)) <= MOST_VERBS


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("room", ROOMS)
def test_a_verb_is_found_in_the_file_of_its_port(engine: str, room: str) -> None:
    found = {verb: room_of(ENGINES[engine], verb) for verb in verbs(ROOMS[room])}
    assert found == dict.fromkeys(found, room)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_every_room(engine: str) -> None:
    folder = Path(inspect.getfile(ENGINES[engine])).parent
    assert {*ROOMS, "connection", "store"} <= {file.stem for file in folder.glob("*.py")}


APP = Path(inspect.getfile(ports)).parents[2]
MODULES = sorted(APP.rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 400, 60


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(APP)))
def test_modules_and_functions_are_small(module: Path) -> None:
    text = module.read_text("utf-8")
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES
    }
    assert (text.count("\n") <= MODULE_LINES, long) == (True, {})
