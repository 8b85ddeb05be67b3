"""Threads that a request makes before their first message."""

from typing import Any

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_thread_states import completed, history_of, state_of, texts

pytestmark = pytest.mark.usefixtures("control")


async def test_a_thread_is_made_read_changed_used_and_deleted(serve: Serve) -> None:
    server = await serve(agents="steps=tests.graphs:steps")

    async def create(status: int = 201, key: str | None = None, **body: Any) -> dict[str, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        reply = await server.client.post("/threads", json=body, headers=headers)
        assert reply.status_code == status, reply.text
        if status < 300:
            assert (await server.client.get(reply.headers["location"])).json() == reply.json()
        return {**reply.json(), "replayed": reply.headers.get("idempotent-replayed")}

    made = await create(thread_id="a/b %", name="Tea", metadata={"table": 4}, subject="ann")
    assert (made["name"], made["metadata"], made["subject"], made["message_count"]) == ("Tea", {"table": 4}, "ann", 0)
    path = "/threads/a%2Fb%20%25"
    state = await state_of(server, "a/b %")
    assert (state["values"], state["next"], state["checkpoint"]) == ({}, [], None)
    assert await history_of(server, "a/b %", 10) == []
    assert [each["thread_id"] for each in (await server.client.get("/threads")).json()] == ["a/b %"]
    assert (await server.client.patch(path, json={"name": "Green tea"})).json()["name"] == "Green tea"
    assert (await create(409, thread_id="a/b %"))["code"] == "thread_exists"
    assert (await create(200, thread_id="a/b %", if_exists="do_nothing", name="X"))["name"] == "Green tea"
    await completed(server, "One", thread_id="a/b %", agent="steps")
    assert texts(await state_of(server, "a/b %"))[-1] == "Heard: One"
    assert (await server.client.delete(path)).status_code == 204

    first = await create(key="k", metadata={"n": 1})
    assert len(first["thread_id"]) == 36
    assert await create(key="k", metadata={"n": 1.0}) == {**first, "replayed": "true"}
    assert (await create(422, key="k", metadata={"n": 2}))["code"] == "idempotency_key_reused"
    for body, field in (
        ({"thread_id": ""}, "thread_id"),
        ({"if_exists": "replace"}, "if_exists"),
        ({"metadata": {"a": []}}, "metadata.a"),
        ({"agent": "steps"}, "agent"),
    ):
        assert [error["field"] for error in (await create(422, **body))["errors"]] == [field]


async def test_threads_are_searched_sorted_and_counted(serve: Serve) -> None:
    server = await serve(agents="steps=tests.graphs:steps")
    for name, table in (("a", 1), ("b", 2), ("c", 1)):
        made = await server.client.post("/threads", json={"thread_id": name, "metadata": {"table": table}})
        assert made.json()["status"] == "idle"
    await server.submit("Later", thread_id="b", delay_seconds=1000)

    async def found(query: str, total: int | None = None) -> list[str]:
        reply = await server.client.get(f"/threads?{query}")
        assert reply.status_code == 200, reply.text
        assert reply.headers.get("x-pagination-total") == (None if total is None else str(total))
        ids = [each["thread_id"] for each in reply.json()]
        if link := reply.links.get("next"):
            ids += await found(link["url"].partition("?")[2], total)
        return ids

    assert await found("sort_by=created&sort_order=asc&limit=1") == ["a", "b", "c"]
    assert await found("sort_by=created&count=true&limit=2", 3) == ["c", "b", "a"]
    assert await found("metadata.table=1&sort_by=created&count=true&limit=1", 2) == ["c", "a"]
    assert await found("status=busy") == ["b"]
    assert await found("status=idle&thread_id=a&thread_id=b&count=true", 1) == ["a"]
    assert await found("subject=ann&count=true", 0) == []
    for query, field in (
        ("status=odd", "status"), ("sort_by=name", "sort_by"), ("sort_order=up", "sort_order"),
        ("count=maybe", "count"), ("metadata.=1", "metadata."), ("thread_id=", "thread_id"),
        ("&".join(["thread_id=x"] * 101), "thread_id"),
    ):  # fmt: skip
        refused = await server.client.get(f"/threads?{query}")
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == [field]
