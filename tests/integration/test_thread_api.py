"""Conversations: their endpoints, their ids, their pages, and what the agent remembers. Over a real socket."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from app.config import Settings
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_api import STATUS_FIELDS, TIME, check_problem
from tests.openai_stub import Gate, Status, StubServer
from tests.servers import LiveServer, live_server, until

AWKWARD_IDS = [
    "a/b",
    "/",
    "//",
    "a/",
    "/a",
    "%",
    "%2F",
    "%252F",
    "a%20b",
    "100%",
    "what?",
    "a?limit=1",
    "#",
    "a#b",
    "a b",
    " ",
    "+",
    "a+b",
    "emoji 👩‍🚀",
    "Zoë",
    "..",
    ".",
    "../..",
    "a/../b",
    "messages",
    "a/messages",
    "/messages",
    "messages/messages",
    "a;b=c",
    "a\\b",
    "tab\tnew\nline\r",
    '"<>{}|^`',
    "\u200b",
    "\ufeff",
    "x" * 255,
    "👩" * 255,
]


@pytest.fixture
async def quiet(serve: Serve) -> LiveServer:
    """A server that takes messages and runs none."""
    return await serve(worker_concurrency=0)


async def get(server: LiveServer, target: str) -> wire.RawResponse:
    """Exactly this target: a client library might tidy it up."""
    return await wire.request(server.url, "GET", target)


async def test_thread_metadata_and_messages(server: LiveServer, model: StubServer) -> None:
    model.replies.extend([Status(400)])
    thread_id = "a2e40f10-9f5a-4a54-9fb4-3b9f861fc2c0"
    first = await server.submit("What is the capital of France?", thread_id=thread_id)
    second = await server.submit("Follow-up: What's its population?", thread_id=thread_id, priority="high")
    await server.ended(second["message_id"])

    thread = (await server.client.get(f"/threads/{thread_id}")).json()
    assert {name: thread[name] for name in ("thread_id", "message_count", "created_at", "states")} == {
        "thread_id": thread_id,
        "message_count": 2,
        "created_at": first["created_at"],
        "states": {"queued": 0, "processing": 0, "completed": 1, "failed": 1, "cancelled": 0, "interrupted": 0},
    }
    assert TIME.fullmatch(thread["last_activity"])
    status = await server.status(second["message_id"])
    assert thread["last_activity"] == status["completed_at"]

    page = (await server.client.get(f"/threads/{thread_id}/messages")).json()
    assert (page["thread_id"], page["total_messages"]) == (thread_id, 2)
    assert [m["message_id"] for m in page["messages"]] == [first["message_id"], second["message_id"]]
    assert page["messages"][1] == status
    assert set(page["messages"][0]) >= STATUS_FIELDS
    assert page["messages"][0]["state"] == "failed"


async def test_the_list_of_threads(quiet: LiveServer) -> None:
    assert (await quiet.client.get("/threads")).json() == []
    await quiet.submit("One", thread_id="older")
    await quiet.submit("Two", thread_id="newer")
    await quiet.submit("Without a thread")
    await quiet.submit("Follow-up:\n  What's its population?", thread_id="older")
    older, newer = (await quiet.client.get("/threads")).json()
    assert set(older) >= {"thread_id", "message_count", "created_at", "last_activity", "last_message_preview"}
    assert (older["thread_id"], older["message_count"]) == ("older", 2)
    assert older["last_message_preview"] == "Follow-up: What's its population?"
    assert older["created_at"] <= older["last_activity"]
    assert (newer["thread_id"], newer["message_count"], newer["last_message_preview"]) == ("newer", 1, "Two")


async def test_a_long_message_is_previewed_in_part(quiet: LiveServer) -> None:
    await quiet.submit("word " * 10_000, thread_id="t")
    (thread,) = (await quiet.client.get("/threads")).json()
    assert thread["last_message_preview"].startswith("word word")
    assert len(thread["last_message_preview"]) <= 200


async def test_states_are_counted_as_they_change(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    running, queued, cancelled = [await server.submit(thread_id="t") for _ in range(3)]
    await model.received()
    await server.client.delete(f"/messages/{cancelled['message_id']}")
    before = (await server.client.get("/threads/t")).json()
    assert before["states"] == {
        "queued": 1,
        "processing": 1,
        "completed": 0,
        "failed": 0,
        "cancelled": 1,
        "interrupted": 0,
    }
    gate.release_all()
    await server.ended(queued["message_id"])
    after = (await server.client.get("/threads/t")).json()
    assert after["states"] == {
        "queued": 0,
        "processing": 0,
        "completed": 2,
        "failed": 0,
        "cancelled": 1,
        "interrupted": 0,
    }
    assert after["last_activity"] >= before["last_activity"]
    assert (await server.status(running["message_id"]))["state"] == "completed"


@pytest.mark.parametrize("target", ["/threads/unknown", "/threads/unknown/messages", "/threads/a%2Fb"])
async def test_an_unknown_thread_is_404(quiet: LiveServer, target: str) -> None:
    check_problem(await get(quiet, target), 404, "thread_not_found")


@pytest.mark.parametrize("target", ["/threads/", "/threads//messages"])
async def test_an_empty_thread_id_is_refused(quiet: LiveServer, target: str) -> None:
    check_problem(await get(quiet, target), 422, "validation_error", "thread_id")


@pytest.mark.parametrize("thread_id", ["%00", "a%00b", "%FF", "%C3", "%ED%A0%80", "x" * 256, "%F0%9F%91%A9" * 256])
@pytest.mark.parametrize("suffix", ["", "/messages"])
async def test_an_impossible_thread_id_is_422(quiet: LiveServer, thread_id: str, suffix: str) -> None:
    check_problem(await get(quiet, f"/threads/{thread_id}{suffix}"), 422, "invalid_request", "thread_id")


@pytest.mark.parametrize("thread_id", AWKWARD_IDS, ids=ascii)
async def test_any_string_is_a_thread_id(quiet: LiveServer, thread_id: str) -> None:
    submitted = await quiet.submit(thread_id=thread_id)
    assert submitted["thread_id"] == thread_id
    assert (await quiet.status(submitted["message_id"]))["thread_id"] == thread_id
    path = f"/threads/{quote(thread_id, safe='')}"
    thread = await get(quiet, path)
    assert thread.status == 200, thread
    assert (thread.json()["thread_id"], thread.json()["message_count"]) == (thread_id, 1)
    page = (await get(quiet, f"{path}/messages?limit=1")).json()
    assert page["thread_id"] == thread_id
    assert [m["thread_id"] for m in page["messages"]] == [thread_id]
    assert [t["thread_id"] for t in (await quiet.client.get("/threads")).json()] == [thread_id]


async def test_similar_ids_are_different_threads(quiet: LiveServer) -> None:
    ids = ["a/b", "a%2Fb", "a%252Fb", "a", "A", "a ", "a/messages", "e\u0301", "\u00e9"]
    for thread_id in ids:
        await quiet.submit(thread_id, thread_id=thread_id)
    for thread_id in ids:
        page = (await get(quiet, f"/threads/{quote(thread_id, safe='')}/messages")).json()
        assert [m["user_message"] for m in page["messages"]] == [thread_id]


async def test_slashes_need_no_escape(quiet: LiveServer) -> None:
    await quiet.submit("nested", thread_id="team/7/chat")
    assert (await get(quiet, "/threads/team/7/chat")).json()["thread_id"] == "team/7/chat"
    assert (await get(quiet, "/threads/team/7/chat/messages")).json()["total_messages"] == 1


# Pages


def next_of(response: wire.RawResponse) -> str | None:
    """The target of `Link: rel="next"`."""
    if "link" not in response.headers:
        return None
    match = re.fullmatch(r'<([^>]+)>; rel="next"', response.headers["link"])
    assert match, response.headers["link"]
    return match[1]


async def pages(server: LiveServer, target: str | None) -> list[Any]:
    """The bodies of all pages, by the links."""
    found = []
    while target is not None:
        response = await get(server, target)
        assert response.status == 200, response
        found.append(response.json())
        target = next_of(response)
        assert len(found) < 100
    return found


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 8])
async def test_all_threads_by_pages(quiet: LiveServer, limit: int) -> None:
    ids = [f"thread {i}/%2F?👩" for i in range(7)]
    for thread_id in ids:
        await quiet.submit(thread_id=thread_id)
    found = await pages(quiet, f"/threads?limit={limit}")
    assert [thread["thread_id"] for page in found for thread in page] == [
        thread["thread_id"] for thread in (await quiet.client.get("/threads")).json()
    ]
    assert {thread["thread_id"] for page in found for thread in page} == set(ids)
    assert all(len(page) <= limit for page in found)


@pytest.mark.parametrize("thread_id", ["t", "a/b%2F?👩 #", "ends/messages", '"<>'])
async def test_all_messages_by_pages(quiet: LiveServer, thread_id: str) -> None:
    for number in range(7):
        await quiet.submit(f"{number}", thread_id=thread_id, priority=("low", "high")[number % 2])
    found = await pages(quiet, f"/threads/{quote(thread_id, safe='')}/messages?limit=3")
    assert [m["user_message"] for page in found for m in page["messages"]] == list("0123456")
    assert {page["total_messages"] for page in found} == {7}
    assert len(found) <= 3


async def test_a_page_is_not_moved_by_what_comes_in_between(quiet: LiveServer) -> None:
    for number in range(4):
        await quiet.submit(f"{number}", thread_id="t")
    first = await get(quiet, "/threads/t/messages?limit=2")
    await quiet.submit("4", thread_id="t")
    rest = await pages(quiet, next_of(first))
    assert [m["user_message"] for page in rest for m in page["messages"]] == ["2", "3", "4"]


LISTS = ("/threads", "/threads/t/messages", "/threads/u/messages", "/messages")


@pytest.mark.parametrize(
    "cursor", ["x", "!!!!", "W10", "WzEsMl0", "WyJhIiwiYiJd", "bnVsbA", "eyJhIjoxfQ", "é", "a" * 2001, "W05hTiwgIiJd"]
)
@pytest.mark.parametrize("path", ["/threads", "/threads/t/messages"])
async def test_a_wrong_cursor_is_422(quiet: LiveServer, path: str, cursor: str) -> None:
    await quiet.submit(thread_id="t")
    response = await quiet.client.get(path, params={"cursor": cursor})
    assert response.status_code == 422
    check_problem(response, 422, response.json()["code"], "cursor")


async def test_a_cursor_of_another_list_is_422(quiet: LiveServer) -> None:
    for thread_id in ("t", "t", "u", "u"):
        await quiet.submit(thread_id=thread_id)
    links = [next_of(await get(quiet, f"{path}?limit=1")) or "" for path in LISTS]
    cursors = [parse_qs(link.partition("?")[2])["cursor"][0] for link in links]
    for path, own in zip(LISTS, cursors, strict=True):
        for cursor in cursors:
            response = await quiet.client.get(path, params={"cursor": cursor, "limit": "2"})
            assert response.status_code == (200 if cursor == own else 422), response.text


# Memory


async def test_the_agent_remembers_the_thread(server: LiveServer, model: StubServer) -> None:
    for text in ("My name is Zoë.", "What is my name?"):
        last = await server.submit(text, thread_id="t")
    await server.ended(last["message_id"])
    first, second = (request.body["messages"] for request in model.requests)
    assert [m["role"] for m in first] == ["system", "user"]
    assert [(m["role"], m["content"]) for m in second[1:]] == [
        ("user", "My name is Zoë."),
        ("assistant", "You said: My name is Zoë."),
        ("user", "What is my name?"),
    ]


async def test_threads_do_not_mix(server: LiveServer, model: StubServer) -> None:
    for text, thread_id in [("one", "t"), ("two", "T"), ("three", "t/"), ("four", "t"), ("five", "message/t")]:
        last = await server.submit(text, thread_id=thread_id)
    await server.ended(last["message_id"])
    assert [request.texts_of_users for request in model.requests] == [
        ["one"], ["two"], ["three"], ["one", "four"], ["five"],
    ]  # fmt: skip


async def test_messages_without_a_thread_remember_nothing(server: LiveServer, model: StubServer) -> None:
    first = await server.submit("one")
    await server.submit("two")
    last = await server.submit("three", thread_id=first["message_id"])
    await server.ended(last["message_id"])
    assert [request.texts_of_users for request in model.requests] == [["one"], ["two"], ["three"]]


async def test_a_failed_turn_does_not_stop_the_thread(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Status(400))
    failed = await server.submit("one", thread_id="t")
    last = await server.submit("two", thread_id="t")
    assert (await server.ended(last["message_id"]))["state"] == "completed"
    assert (await server.status(failed["message_id"]))["state"] == "failed"
    assert model.text_of_users(1)[-1] == "two"


async def test_a_cancelled_turn_is_not_remembered(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    await server.submit("one", thread_id="t")
    cancelled = await server.submit("two", thread_id="t")
    last = await server.submit("three", thread_id="t")
    await model.received()
    await server.client.delete(f"/messages/{cancelled['message_id']}")
    gate.release_all()
    await server.ended(last["message_id"])
    assert model.text_of_users(1) == ["one", "three"]


async def test_memory_outlives_the_server(settings: Callable[..., Settings], control: GraphControl) -> None:
    for text, heard in [("one", "one"), ("two", "one | two")]:
        async with live_server(settings(agents="steps=tests.graphs:steps")) as server:
            status = await server.ended((await server.submit(text, thread_id="t"))["message_id"])
            assert status["result"] == f"Heard: {heard}"


async def test_a_thread_keeps_its_order_whatever_the_priorities(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    await server.submit("running")
    await model.received()
    sent = [("low", "t"), ("normal", "u"), ("high", "t"), ("low", "v")]
    last = [await server.submit(f"{p} {t}", priority=p, thread_id=t) for p, t in sent][-1]
    gate.release_all()
    await until(lambda: len(model.requests) == 5, "all have run")
    await server.ended(last["message_id"])
    assert [request.texts_of_users[-1] for request in model.requests[1:]] == ["low t", "high t", "normal u", "low v"]


async def test_a_result_that_the_graph_cannot_take_holds_up_nothing_after_it(
    serve: Serve, control: GraphControl, memory_url: str
) -> None:
    """Neither the next message, nor the dead letter, nor a message that rolls back, nor one after a purge."""
    server = await serve(agents="lists=tests.graphs:lists", checkpoint_url=memory_url, max_attempts=1)

    async def result(text: str, **fields: Any) -> Any:
        return (await server.ended((await server.submit(text, thread_id="t", **fields))["message_id"]))["result"]

    assert await result("one") == "Heard: one"
    control.hold("bug")
    failed = [(await server.submit(f"bug {number}", thread_id="t"))["message_id"] for number in (1, 2)]
    assert [(await server.ended(message_id))["state"] for message_id in failed] == ["failed", "failed"]
    control.release("bug")
    assert await result("two") == "Heard: one | bug 1 | bug 2 | two"
    assert (await server.client.post(f"/messages/{failed[0]}/retry")).status_code == 202
    assert (await server.ended(failed[0]))["result"] == "Heard: one | bug 2 | two | bug 1"
    assert await result("three", if_busy="rollback") == "Heard: one | bug 2 | two | bug 1 | three"
    purged = await server.client.post("/dead-letters/purge", json={"message_ids": [failed[1]]})
    assert purged.status_code == 200
    assert str(await result("four")).endswith("three | four")
