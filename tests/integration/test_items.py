"""Items that agents keep across threads: in graphs of every kind, in functions, and over HTTP."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from tests.integration.test_api import TIME, check_problem
from tests.servers import ROOT, LiveServer, live_server, server_process, until

GRAPHS = ROOT / "tests" / "item_graphs.py"
KINDS = ["sync_node", "async_node", "blocking_node", "subgraph", "functional", "function"]


def named(*kinds: str) -> str:
    return ",".join(f"{kind}=tests.item_graphs:{kind}" for kind in kinds)


async def answer(server: LiveServer, agent: str, text: str) -> dict[str, Any]:
    """The status of a message in a thread of its own, once it has ended."""
    return await server.ended((await server.submit(text, agent=agent))["message_id"])


async def search(server: LiveServer, **body: Any) -> list[dict[str, Any]]:
    response = await server.client.post("/store/items/search", json=body)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def test_agents_of_every_kind_share_the_items_of_a_tenant(
    settings: Callable[..., Settings], database: dict[str, str]
) -> None:
    values = {name.lower(): value for name, value in database.items()}
    async with live_server(settings(agents=named(*KINDS, "factory", "agent"), **values)) as server:
        for number, kind in enumerate(KINDS):
            status = await answer(server, kind, kind)
            assert status["error"] is None
            assert status["result"].split() == sorted(KINDS[: number + 1])
        status = await answer(server, "factory", "factory")
        assert status["result"] == f"{len(KINDS)}: {' '.join(sorted([*KINDS, 'factory']))}"
        assert (await answer(server, "agent", "Take a note."))["result"] == "Noted."
        found = await search(server, namespace_prefix=["notes"], filter={"length": 4}, limit=100)
        assert [(each["namespace"], each["key"], each["value"]) for each in found] == [
            (["notes"], "tool", {"text": "tool", "length": 4})
        ]


async def test_items_written_over_http_reach_a_worker_in_another_process(
    tmp_path: Path, settings: Callable[..., Settings], database: dict[str, str]
) -> None:
    values = {name.lower(): value for name, value in database.items()}
    async with live_server(settings(agents=named("sync_node"), worker_concurrency=0, **values)) as server:
        body = {"namespace": ["notes"], "key": "of a client", "value": {"length": 1}}
        assert (await server.client.put("/store/items", json=body)).status_code == 204
        with server_process(tmp_path, "app.worker", AGENTS=named("sync_node"), **database):
            assert (await answer(server, "sync_node", "of_a_worker"))["result"] == "of a client of_a_worker"
        item = await server.client.get("/store/items", params={"namespace": "notes", "key": "of_a_worker"})
        assert item.json()["value"] == {"text": "of_a_worker", "length": 11}


async def test_a_graph_keeps_the_store_that_it_was_compiled_with(settings: Callable[..., Settings]) -> None:
    async with live_server(settings(agents=named("own_store"))) as server:
        assert (await answer(server, "own_store", "mine"))["result"] == "mine"
        assert await search(server) == []


async def test_states_are_read_and_changed_with_the_store(settings: Callable[..., Settings]) -> None:
    """A change runs the conditional edges of its node. A factory makes a graph for each read and each change."""
    async with live_server(settings(agents=named("routed", "own_routed", "factory"))) as server:
        for agent, node, comes_next in [
            ("routed", "first", []),
            ("own_routed", "first", ["second"]),
            ("factory", "node", []),
        ]:
            message = await server.submit("One", agent=agent, thread_id=agent)
            await server.ended(message["message_id"])
            change = {"values": {"messages": []}, "as_node": node}
            changed = await server.client.post(f"/threads/{agent}/state", json=change)
            assert changed.status_code == 200, changed.text
            assert (await server.client.get(f"/threads/{agent}/state")).json()["next"] == comes_next
        item = {"namespace": ["notes"], "key": "go on", "value": {}}
        assert (await server.client.put("/store/items", json=item)).status_code == 204
        change = {"values": {"messages": []}, "as_node": "first"}
        assert (await server.client.post("/threads/routed/state", json=change)).status_code == 200
        assert (await server.client.get("/threads/routed/state")).json()["next"] == ["second"]


async def test_what_cannot_be_stored_fails_its_message_with_the_place(settings: Callable[..., Settings]) -> None:
    async with live_server(settings(agents=named("unstorable"), max_attempts=3)) as server:
        status = await answer(server, "unstorable", "x")
        assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "invalid_item", 1)
        assert status["error"].startswith("value.deep.0: must be JSON")


async def test_the_ttl_of_the_langgraph_json_is_the_default(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    file = tmp_path / "langgraph.json"
    project = {
        "dependencies": [str(ROOT)],
        "graphs": {"expires": f"{GRAPHS}:expires"},
        "store": {"ttl": {"default_ttl": 0.005, "refresh_on_read": False}},
    }
    file.write_text(json.dumps(project))
    async with live_server(settings(langgraph_config=file)) as server:
        await answer(server, "expires", "x")
        body = {"namespace": ["http"], "key": "k", "value": {}}
        await server.client.put("/store/items", json=body)
        await server.client.put("/store/items", json={**body, "key": "never", "ttl": None})

        async def left() -> bool:
            return {each["key"] for each in await search(server)} == {"never"}

        await until(left, "the items have expired")
        assert sorted((each["namespace"], each["key"]) for each in await search(server)) == [
            (["http"], "never"),
            (["notes"], "never"),
        ]


# HTTP


async def test_an_item_is_stored_read_and_deleted(quiet: LiveServer) -> None:
    name = {"namespace": ["users", "ü 1"], "key": "a/b c"}
    value = {"text": "é", "n": [1, 2.5, None, {"a": True}]}
    put = await quiet.client.put("/store/items", json={**name, "value": value, "index": False})
    assert (put.status_code, put.content) == (204, b"")
    params = {"namespace": "users.ü 1", "key": "a/b c"}
    got = await quiet.client.get("/store/items", params=params)
    item = got.json()
    assert got.status_code == 200
    assert {field: item[field] for field in ("namespace", "key", "value")} == {**name, "value": value}
    assert TIME.fullmatch(item["created_at"])
    assert item["created_at"] == item["updated_at"]
    for _ in range(2):
        deleted = await quiet.client.request("DELETE", "/store/items", json=name)
        assert (deleted.status_code, deleted.content) == (204, b"")
    check_problem(await quiet.client.get("/store/items", params=params), 404, "item_not_found")


async def test_items_are_found_by_namespace_and_filter_in_pages(quiet: LiveServer) -> None:
    for number in range(5):
        body = {"namespace": ["a", f"{number % 2}"], "key": f"{number}", "value": {"n": number}}
        await quiet.client.put("/store/items", json=body)
    await quiet.client.put("/store/items", json={"namespace": ["b"], "key": "x", "value": {}})
    wanted = {"namespace_prefix": ["a"], "filter": {"n": {"$gte": 1}}}
    assert {each["key"] for each in await search(quiet, **wanted)} == {"1", "2", "3", "4"}
    pages = [await search(quiet, **wanted, limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert len(await search(quiet, query=None)) == 6
    response = await quiet.client.post("/store/namespaces", json={})
    assert response.json() == {"namespaces": [["a", "0"], ["a", "1"], ["b"]]}
    listed = await quiet.client.post("/store/namespaces", json={"prefix": ["*"], "max_depth": 1, "offset": 1})
    assert listed.json() == {"namespaces": [["b"]]}
    listed = await quiet.client.post("/store/namespaces", json={"suffix": ["1"], "prefix": None})
    assert listed.json() == {"namespaces": [["a", "1"]]}


REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("PUT", "items", {"namespace": []}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": ["langgraph", "a"]}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": ["a.b"]}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": [""]}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": ["a\x01"]}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": ["x" * 1024]}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": ["x"] * 33}, "invalid_item", "namespace"),
    ("PUT", "items", {"namespace": "a"}, "validation_error", "namespace"),
    ("PUT", "items", {"namespace": ["\x00"]}, "validation_error", "namespace.0"),
    ("PUT", "items", {"key": "x" * 1025}, "invalid_item", "key"),
    ("PUT", "items", {"value": [1]}, "validation_error", "value"),
    ("PUT", "items", {"value": {"a": "\x00"}}, "validation_error", "value"),
    ("PUT", "items", {"value": {"a": 2**1024}}, "invalid_item", "value.a"),
    ("PUT", "items", {"ttl": 0}, "invalid_item", "ttl"),
    ("PUT", "items", {"ttl": -1}, "invalid_item", "ttl"),
    ("PUT", "items", {"ttl": "5"}, "validation_error", "ttl"),
    ("PUT", "items", {"ttl": True}, "validation_error", "ttl"),
    *(
        ("POST", "namespaces", {name: each}, "validation_error", name)
        for name in ("limit", "offset", "max_depth")
        for each in ("1", True)
    ),
    *(
        ("POST", "items/search", {name: each}, "validation_error", name)
        for name in ("limit", "offset")
        for each in ("1", True)
    ),
    *(("POST", "items/search", {"refresh_ttl": each}, "validation_error", "refresh_ttl") for each in (0, 0.0, "no")),
    ("PUT", "items", {"index": ["text"]}, "validation_error", "index"),
    ("PUT", "items", {"colour": 1}, "validation_error", "colour"),
    ("DELETE", "items", {"namespace": ["a.b"]}, "invalid_item", "namespace"),
    ("POST", "items/search", {"query": "what is near"}, "validation_error", "query"),
    ("POST", "items/search", {"filter": {"a": {"$near": 1}}}, "invalid_item", "filter.a.$near"),
    ("POST", "items/search", {"filter": {"a": {"$gt": None}}}, "invalid_item", "filter.a.$gt"),
    ("POST", "items/search", {"filter": {"a": list(range(100))}}, "invalid_item", "filter"),
    ("POST", "items/search", {"namespace_prefix": [""]}, "invalid_item", "namespace_prefix"),
    ("POST", "items/search", {"limit": 0}, "validation_error", "limit"),
    ("POST", "items/search", {"offset": -1}, "validation_error", "offset"),
    ("POST", "namespaces", {"max_depth": 0}, "validation_error", "max_depth"),
    ("POST", "namespaces", {"suffix": ["a.b"]}, "invalid_item", "suffix"),
]


@pytest.mark.parametrize(("method", "path", "body", "code", "field"), REFUSED, ids=lambda each: str(each)[:40])
async def test_what_cannot_be_used_is_refused_with_its_field(
    quiet: LiveServer, method: str, path: str, body: dict[str, Any], code: str, field: str
) -> None:
    whole: dict[str, dict[str, Any]] = {
        "PUT": {"namespace": ["a"], "key": "k", "value": {}},
        "DELETE": {"namespace": ["a"], "key": "k"},
    }
    content = json.dumps({**whole.get(method, {}), **body})
    response = await quiet.client.request(
        method, f"/store/{path}", content=content, headers={"Content-Type": "application/json"}
    )
    check_problem(response, 422, code, field)
    assert await search(quiet) == []


async def test_a_value_above_max_body_bytes_of_an_agent_is_refused(settings: Callable[..., Settings]) -> None:
    async with live_server(settings(agents=named("sync_node"), max_body_bytes=2_000)) as server:
        status = await answer(server, "sync_node", "x" * 1_000)
        assert status["error_code"] is None
        body = {"namespace": ["a"], "key": "k", "value": {"a": "x" * 2_000}}
        check_problem(await server.client.put("/store/items", json=body), 413, "body_too_large")
