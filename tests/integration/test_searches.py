"""Lists are searched and counted over HTTP, and running messages tell how much they have written."""

import pytest

from app import list_manager
from tests.contract.builders import chunk, claim
from tests.integration.test_api import check_problem
from tests.servers import LiveServer


async def test_a_search_and_a_count_over_http(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_manager, "SEARCHED_AT_ONCE", 1)
    monkeypatch.setattr(list_manager, "MAX_SEARCHED", 2)
    wanted = (await quiet.submit('Needle "1"', thread_id="needle"))["message_id"]
    for _ in range(2):
        await quiet.submit("hay", thread_id="t")
    first = await quiet.client.get("/messages", params={"q": '"'})  # engines do not look for quotes
    assert first.json() == {"messages": []}
    second = await quiet.client.get(first.links["next"]["url"])
    assert [each["message_id"] for each in second.json()["messages"]] == [wanted]
    threads = await quiet.client.get("/threads", params={"q": "NEEDLE"})
    assert [each["thread_id"] for each in threads.json()] == ["needle"]
    assert (await quiet.client.get("/dead-letters", params={"q": "NEEDLE"})).json() == {"dead_letters": []}
    counted = await quiet.client.get("/messages", params={"count": "true", "limit": 1, "thread_id": "t"})
    assert counted.headers["X-Pagination-Total"] == "2"
    monkeypatch.setattr(list_manager, "MAX_COUNTED", 1)
    counted = await quiet.client.get("/messages", params={"count": "true", "limit": 1, "thread_id": "t"})
    assert counted.headers["X-Pagination-Total-At-Least"] == "1"
    assert "X-Pagination-Total" not in counted.headers
    counted = await quiet.client.get("/messages", params={"count": "true", "limit": 1, "state": "queued"})
    assert counted.headers["X-Pagination-Total"] == "3"
    for path in ("/messages", "/threads"):
        refused = await quiet.client.get(path, params={"count": "true", "q": "x"})
        check_problem(refused, 422, "invalid_request", "count")


async def test_running_messages_tell_what_they_have_written(quiet: LiveServer) -> None:
    store = quiet.runtime.services.store
    message_id = (await quiet.submit())["message_id"]
    (claimed,) = await claim(store)
    for written in range(1, 3):
        (running,) = (await quiet.client.get("/queue")).json()["processing_messages"]
        assert (running["id"], running["attempt"], running["events"]) == (message_id, 1, written)
        await store.append(claimed.lease, [chunk(written)])
