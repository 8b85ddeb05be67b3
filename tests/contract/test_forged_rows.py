"""Rows that somebody has written into the agents' memory run no code and build nothing that was not allowed."""

import json
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import ormsgpack
import psycopg
import pytest
import redis
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from app.checkpoints.redis_rows import encoded_row
from app.errors import StateUnreadable
from tests.audit_hook import CODE, Audited, audited
from tests.contract.saver_calls import Saver, config, put, without_fence

CANARY = "tests.never_imported"
COMMAND = "raise SystemExit('executed')"
CALLS: list[tuple[str, str, Any]] = [
    ("builtins", "exec", COMMAND),
    ("builtins", "eval", "__import__('tests.never_imported')"),
    ("builtins", "open", "/etc/hostname"),
    ("builtins", "__import__", CANARY),
    ("importlib", "import_module", CANARY),
    ("os", "system", "true"),
    ("subprocess", "Popen", ["true"]),
    ("pickle", "loads", pickle.dumps(CANARY)),
    (CANARY, "Anything", "x"),
    ("langchain_core.messages", "os", "x"),
    ("langchain_core.messages.ai", "__builtins__", "x"),
    ("langchain_core.messages.ai.AIMessage", "model_validate", "x"),
    ("uuid", "os", "x"),
]
"""Module, name and argument of what must not be called."""

FOR_ARRAYS = Audited("import", "numpy")
"""LangGraph imports it for an array, whatever the row names."""

METHOD = 3
CODES = range(8)
"""The codes of LangGraph's extensions of msgpack, objects and arrays."""


class Reduced:
    """Calls `exec` when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (COMMAND,)


def forgeries() -> Iterator[tuple[str, bytes]]:
    """Encodings and their bytes, as LangGraph's serializers have ever read them."""
    yield "pickle", pickle.dumps(Reduced())
    yield "msgpack", pickle.dumps(Reduced())
    for module, name, argument in CALLS:
        shown = argument if isinstance(argument, str | list) else "x"
        for constructor in (
            {"lc": 1, "type": "constructor", "id": [*module.split("."), name], "kwargs": {"a": shown}},
            {"lc": 2, "type": "constructor", "id": [*module.split("."), name], "args": [shown], "kwargs": {}},
            {"lc": 2, "type": "constructor", "id": [module, name], "method": "__call__", "args": [shown], "kwargs": {}},
        ):
            yield "json", json.dumps(constructor).encode()
        for code in CODES:
            for payload in (argument, [argument], {"a": argument}):
                for method in ((), ("__call__",)) if code == METHOD else ((),):
                    packed = ormsgpack.packb((module, name, payload, *method))
                    yield "msgpack", ormsgpack.packb(ormsgpack.Ext(code, packed))
    for kind in ("object", "O8", "|O", "V8"):
        array = ormsgpack.packb((kind, (1,), "C", b"12345678"))
        yield "msgpack", ormsgpack.packb(ormsgpack.Ext(6, array))


class Rows:
    """All stored values of an engine, which can be replaced."""

    def __init__(self, url: str) -> None:
        self._url = url

    def forge(self, kind: str, content: bytes) -> int:
        """Have every row say that it is `content`, encoded as `kind`. Return how many rows there are."""
        scheme = self._url.partition(":")[0]
        return {"sqlite": self._sqlite, "postgresql": self._postgres, "redis": self._redis}[scheme](kind, content)

    def _sqlite(self, kind: str, content: bytes) -> int:
        with sqlite3.connect(self._url.removeprefix("sqlite:///")) as connection:
            changed = [
                connection.execute("UPDATE checkpoints SET type = ?, checkpoint = ?", (kind, content)),
                connection.execute("UPDATE writes SET type = ?, value = ?", (kind, content)),
                connection.execute("UPDATE messages SET type = ?, value = ?", (kind, content)),
            ]
        connection.close()
        return min(each.rowcount for each in changed)

    def _postgres(self, kind: str, content: bytes) -> int:
        with psycopg.connect(self._url, options="-c search_path=agent_queue_memory") as connection:
            changed = [
                connection.execute("UPDATE checkpoint_blobs SET type = %s, blob = %s", (kind, content)),
                connection.execute("UPDATE checkpoint_writes SET type = %s, blob = %s", (kind, content)),
                connection.execute("UPDATE checkpoint_messages SET type = %s, value = %s", (kind, content)),
            ]
            return min(each.rowcount for each in changed)

    def _redis(self, kind: str, content: bytes) -> int:
        with redis.Redis.from_url(self._url) as client:
            (key,) = client.keys("*:rows:*")
            rows: dict[bytes, bytes] = client.hgetall(key)
            names = {name[:1] for name in rows}
            assert names == {b"c", b"w", b"v", b"m", b"n"}
            for name, row in rows.items():
                if name[:1] != b"n":
                    header = json.loads(row.partition(b"\0")[0])
                    header.pop("type")
                    client.hset(key, name, encoded_row(header, (kind, content)))
            return len(rows)


async def read_everything(saver: Saver) -> list[Any]:
    """Read all that is saved, in each way that there is. Return what could be read."""
    found: list[Any] = []
    with suppress(StateUnreadable, ValueError, TypeError, KeyError, AttributeError):
        found.append(await saver.aget_tuple(without_fence()))
    with suppress(StateUnreadable, ValueError, TypeError, KeyError, AttributeError):
        found += [each async for each in saver.alist(without_fence())]
    return found


@pytest.fixture
async def filled(saver: Saver) -> Saver:
    """A memory with a checkpoint, a value, messages of a list and a write that is not finished."""
    await put(saver, (7, 1), messages=[HumanMessage("one", id="1"), AIMessage("two", id="2")], plan={"a": 1})
    newest = await saver.aget_tuple(without_fence())
    place = config((7, 1))
    place["configurable"]["checkpoint_id"] = newest.checkpoint["id"]
    await saver.aput_writes(place, [("plan", {"b": 2})], "task")
    return saver


async def test_forged_rows_run_nothing(filled: Saver, memory_url: str) -> None:
    rows = Rows(memory_url)
    assert await read_everything(filled)
    for kind, content in forgeries():
        assert rows.forge(kind, content) > 0
        with audited(CODE | {"open"}) as events:
            await read_everything(filled)
        assert not set(events) - {FOR_ARRAYS}, (kind, content, events)


@pytest.mark.filterwarnings("ignore")
def test_the_hook_sees_what_the_forgeries_would_do() -> None:
    """The control: without restrictions, the same bytes import and execute."""
    seen: set[str] = set()
    free = JsonPlusSerializer(pickle_fallback=True, allowed_msgpack_modules=True, allowed_json_modules=True)
    for kind, content in forgeries():
        with audited(CODE | {"open"}) as events, suppress(BaseException):
            free.loads_typed((kind, content))
        seen |= {each.event for each in events}
        assert all(isinstance(each, Audited) for each in events)
    assert {"exec", "import", "open", "os.system", "subprocess.Popen", "pickle.find_class"} <= seen
