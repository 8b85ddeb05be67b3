"""The Lua scripts: what the server is given of them, their names, the columns of their rows."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import redis
from pydantic import AwareDatetime

from app.models.deliveries import Delivery
from app.models.messages import Message
from app.store import ports
from app.store.redis import replies
from app.store.redis.scripts import load_scripts
from app.store.rows import DELIVERY_COLUMNS, MESSAGE_COLUMNS
from tests.unit.test_rooms import ROOMS, verbs
from tests.valkey_server import shared_server

WITHOUT_SCRIPT = {
    "now", "open_lease_renewer", "prune_keys", "prune_limits", "search_messages", "with_positions", "erase_threads",
    "left_to_erase", "cancel_messages",
}  # fmt: skip
"""Verbs that ask the process's clock, make a connection, are left to the server, or call the scripts of other verbs."""


@pytest.fixture
def admin() -> Iterator[redis.Redis]:
    """A client of the shared server that is not ours."""
    client = redis.Redis.from_url(shared_server().url, decode_responses=True)
    yield client
    client.close()


def test_a_script_has_no_function_that_it_does_not_call() -> None:
    functions = {
        (name, function): len(re.findall(rf"\b{function}\b", script.text))
        for name, script in load_scripts().items()
        for function in re.findall(r"^local function (\w+)", script.text, re.MULTILINE)
    }
    assert functions
    assert [place for place, count in functions.items() if count == 1] == []


@pytest.mark.parametrize("port", [port for port in ROOMS.values() if port is not ports.Notifier] + [ports.LeaseRenewer])
def test_a_verb_has_the_script_of_its_name(port: type) -> None:
    assert verbs(port) - WITHOUT_SCRIPT <= load_scripts().keys()


# Columns


def run(admin: redis.Redis, folder: Path, script: str, *arguments: str | int) -> Any:
    return admin.eval(load_scripts()[script].text, 1, f"{{{folder}}}", *arguments)


def test_the_columns_of_a_message_are_its_fields(admin: redis.Redis, tmp_path: Path) -> None:
    stored: dict[Any, Any] = {name: name for name in MESSAGE_COLUMNS if name not in {"id", "content", "result"}}
    admin.hset(f"{{{tmp_path}}}:message:id", mapping=stored | {"state": "completed"})
    for text in ("content", "result"):
        admin.set(f"{{{tmp_path}}}:{text}:id", text)
    admin.hset(f"{{{tmp_path}}}:thread:6:tenant:t", mapping={"processing": 1, "head": "id"})
    fields = ["completed" if name == "state" else name for name in MESSAGE_COLUMNS]
    assert run(admin, tmp_path, "get_head", "tenant", "t") == fields
    [listed] = run(admin, tmp_path, "get_each", "tenant", 10**6, "id")
    assert listed == [None if name == "options" else name for name in fields]


def test_the_columns_of_a_thread_are_its_fields(admin: redis.Redis, tmp_path: Path) -> None:
    stored: dict[Any, Any] = {
        name: name for name in replies.THREAD_COLUMNS if name not in {"thread_id", "last_activity"}
    }
    admin.hset(f"{{{tmp_path}}}:thread:6:tenant:thread_id", mapping=stored)
    admin.zadd(f"{{{tmp_path}}}:tenant:threads:tenant", {"thread_id": 7})
    row = run(admin, tmp_path, "get_thread", "tenant", "thread_id")
    assert row == ["7" if name == "last_activity" else name for name in replies.THREAD_COLUMNS]


def test_the_columns_of_a_delivery_are_its_fields_and_its_data(admin: redis.Redis, tmp_path: Path) -> None:
    stored: dict[Any, Any] = {name: name for name in (*DELIVERY_COLUMNS, "data") if name != "id"}
    admin.hset(f"{{{tmp_path}}}:delivery:id", mapping=stored | {"created_at": 7})
    admin.rpush(f"{{{tmp_path}}}:deliveries:message_id", "id")
    row = ["7" if name == "created_at" else name for name in DELIVERY_COLUMNS]
    assert run(admin, tmp_path, "list_deliveries", "tenant", "message_id") == [[*row, "data"]]
    found = run(admin, tmp_path, "find_deliveries", "tenant", 9, "", "", "=message_id", " state ", " event ")
    assert found == [row]


@pytest.mark.parametrize("model", [Message, Delivery])
def test_the_columns_that_become_numbers_are_those_of_numbers_and_times(model: type) -> None:
    def is_number(hint: Any) -> bool:  # also where it is optional
        return bool({int, bool, datetime, AwareDatetime} & {hint, *get_args(hint)})

    columns = {Message: MESSAGE_COLUMNS, Delivery: DELIVERY_COLUMNS}[model]
    hints = get_type_hints(model)
    assert replies.INTEGERS & set(columns) == {name for name in columns if is_number(hints[name])}
