"""Requests of chat pages: what is refused, by name and in one sentence, who may do what, and what readers get."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.protocols.ai_sdk import SURFACE
from tests import wire
from tests.callers import admit
from tests.foreign_ids import Asked, routes_of, walk
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue, manager
from tests.servers import LiveServer, until
from tests.strangers import AGENTS, STRANGERS, ann_has, snapshot
from tests.surfaces import check_refused
from tests.ui_messages import ReadMessage, chunks_of

GRAPHS = "steps=tests.graphs:steps,approving=tests.graphs:approving,other=tests.graphs:steps"
ANSWERED = ("ask_human", {"question": "May I?"}, "yes")
PNG = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0KGgo="}


def said(*parts: Any, id: str = "u1") -> dict[str, Any]:
    """A message of the user."""
    return {"id": id, "role": "user", "parts": [*parts] or [{"type": "text", "text": "Hi"}]}


def chat(message: Any = None, **fields: Any) -> dict[str, Any]:
    """The request of a page."""
    return {"id": "c", "messages": [said() if message is None else message], "trigger": "submit-message", **fields}


def answered(call_id: str, **fields: Any) -> dict[str, Any]:
    """A message of the assistant with an answered question."""
    part = {"type": "tool-ask_human", "toolCallId": call_id, "state": "output-available", "output": "yes", **fields}
    return {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, part]}


WRONG: list[tuple[Any, int, str]] = [
    ([], 422, "body"),
    ({"messages": [said()]}, 422, "id"),
    (chat(id=""), 422, "id"),
    (chat(messages=[]), 422, "messages"),
    (chat(messages={}), 422, "messages"),
    (chat({"id": "x", "role": "system", "parts": []}), 422, "messages"),
    (chat({"role": "user", "parts": [{"type": "text", "text": "Hi"}]}), 422, "id"),
    (chat(said({"type": "text", "text": " "})), 422, "messages.parts: expected a text that is not blank, or a file"),
    (chat(said({"type": "text", "text": "a\x00"})), 422, "text"),
    (chat(said({"type": "data-mood", "data": 1})), 422, "messages.parts.0"),
    (chat(said({"type": "tool-x"})), 422, "messages.parts.0"),
    (chat(said({**PNG, "mediaType": "png"})), 422, "media type"),
    (chat(said({**PNG, "url": "data:image/png;base64,%%"})), 422, "url: expected data in base64"),
    (chat(said({**PNG, "url": "data:image/png,abc"})), 422, "url"),
    (chat(said({**PNG, "url": "file:///etc/passwd"})), 422, "url"),
    (chat(said({**PNG, "url": "https://example.com/" + "a" * 9_000})), 422, "url: expected at most"),
    (chat(trigger="resume-stream"), 422, "trigger"),
    (chat(priority="odd"), 422, "priority"),
    (chat(agent="nobody"), 422, "There is no agent 'nobody'"),
    (chat(metadata={"a": [1]}), 422, "metadata.a"),
    (chat(context={"user": 1}), 422, "context"),
    (chat(config={"configurable": {"colour": 1}}), 422, "config.configurable.colour"),
    (chat(model="gpt-4"), 422, "model"),
    (chat(tools=[]), 422, "tools"),
    (chat(answered("q")), 409, "answers no open question of chat 'c'"),
    (chat(answered("q", state="output-error", errorText="no")), 422, "errorText"),
    (chat(answered("q"), trigger="regenerate-message"), 422, "messages: expected the message of the user"),
]


async def ask(server: LiveServer, path: str, body: Any = None, method: str = "POST", key: str = "") -> wire.RawResponse:
    """The reply to a request below the mount."""
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    text = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, f"/api/chat{path}", headers=headers, body=text)


async def sent(server: LiveServer, body: Any) -> ReadMessage:
    """The message that a request gives a page, when its stream has ended."""
    response = await ask(server, "", body)
    assert response.status == 200, response
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    return ReadMessage().take(*chunks_of(response.body))


async def test_what_is_wrong_is_named_in_one_sentence(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await server.runtime.services.registry.loaded.wait()
    for body, status, told in WRONG:
        response = await ask(server, "", body)
        assert told in check_refused(response, "/api/chat", status, ""), (body, response)
    assert not (await server.client.get("/messages")).json()["messages"]
    large = await ask(server, "", chat(said({"type": "text", "text": "x" * 2_000_000})))
    assert "larger than" in check_refused(large, "/api/chat", 413, "")


async def test_only_the_last_message_counts(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    earlier = [{"anything": 1}, answered("q", state="output-error"), 5]
    assert "Heard: Hi" in (await sent(server, chat(messages=[*earlier, said()]))).shown()


async def test_a_header_has_the_priority_that_the_body_leaves_out(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    headers = {"X-AgentQ-Priority": "low"}
    for body in (chat(said(id="u1")), chat(said(id="u2"), priority="high")):
        assert (await server.client.post("/api/chat", json=body, headers=headers)).status_code == 200
    messages = (await server.client.get("/threads/c/messages")).json()["messages"]
    assert [message["priority"] for message in messages] == ["low", "high"]


async def test_each_kind_of_file_is_a_content_block(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    files = [
        {**PNG, "filename": "a.png"},
        *(
            {**PNG, "mediaType": kind, "url": "https://example.com/f"}
            for kind in ("audio/wav", "video/mp4", "text/plain")
        ),
    ]
    async with reading(server, "/api/chat", chat(said({"type": "text", "text": ""}, *files))):
        await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    (listed,) = (await server.client.get("/messages")).json()["messages"]
    message = await server.runtime.services.store.get("default", listed["message_id"])
    assert message.content == "[image] [audio] [video] [file]"
    assert message.options.run.blocks == (
        {"type": "image", "mime_type": "image/png", "base64": "iVBORw0KGgo=", "extras": {"filename": "a.png"}},
        {"type": "audio", "mime_type": "audio/wav", "url": "https://example.com/f"},
        {"type": "video", "mime_type": "video/mp4", "url": "https://example.com/f"},
        {"type": "file", "mime_type": "text/plain", "url": "https://example.com/f"},
    )


async def test_an_answer_changes_nothing_but_the_question(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    fields: dict[str, Any] = {"agent": "approving", "priority": "high", "metadata": {"a": 1}}
    asked = await sent(server, chat(**fields))
    question = asked.parts[-1]["toolCallId"]
    for name, other in (
        *(("agent", "steps"), ("priority", "low"), ("context", {"a": 1})),
        *(("config", {"recursion_limit": 5}), ("metadata", {"a": 2})),
    ):
        response = await ask(server, "", chat(answered(question), **{name: other}))
        assert check_refused(response, "/api/chat", 422, "").startswith(f"{name}: an answer goes on"), response
    unknown = chat(answered("another", type="dynamic-tool", toolName="ask_human"))
    check_refused(await ask(server, "", unknown), "/api/chat", 409, "")
    message = await sent(server, chat(answered(question), **fields))
    assert (message.id, message.shown()) == (asked.id, ["<step-start>", "yes", "Heard: Hi"])
    whole = ReadMessage().take(*chunks_of((await ask(server, "/c/stream?ended=true", method="GET")).body))
    assert whole.shown() == ["<step-start>", "Step one. ", ANSWERED, "<step-start>", "yes", "Heard: Hi"]


async def test_an_answer_goes_on_behind_the_question_and_a_page_that_comes_back_gets_all(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    asked = await sent(server, chat(agent="approving"))
    control.hold("second")
    async with reading(server, "/api/chat", chat(answered(asked.parts[-1]["toolCallId"]))) as answering:
        await until(lambda: control.waits("second"), "the second node")
        back = asyncio.create_task(ask(server, "/c/stream", method="GET"))
        await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 2, "two readers")
        control.release("second")
        whole = ReadMessage().take(*chunks_of((await back).body))
        rest = ReadMessage().take(*chunks_of(await answering.aread()))
    question = ("ask_human", {"question": "May I?"}, "yes")
    assert whole.shown() == ["<step-start>", "Step one. ", question, "<step-start>", "yes", "Heard: Hi"]
    assert rest.shown() == whole.shown()[3:]


async def test_a_message_is_answered_anew_by_its_own_agent(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    regenerate = {"trigger": "regenerate-message", "messageId": "shown"}
    first = await sent(server, chat(agent="steps", **regenerate))  # the server does not have it yet
    response = await ask(server, "", chat(agent="other", **regenerate))
    assert check_refused(response, "/api/chat", 422, "").startswith("agent: a message is answered anew")
    again = await sent(server, chat(**regenerate, priority="low"))
    assert again.id != first.id
    assert again.shown() == first.shown() == ["<step-start>", "Step one. ", "Heard: Hi"]
    control.hold("first")
    async with reading(server, "/api/chat", chat(said(id="u2"))) as running:
        await until(lambda: control.waits("first"), "the first node")
        anew = asyncio.create_task(sent(server, chat(said(id="u2"), **regenerate)))
        stopped = ReadMessage().take(*chunks_of(await running.aread()))
        assert stopped.end == {"type": "abort", "reason": "The message was cancelled."}
        control.release("first")
        assert (await anew).shown()[-1] == "Heard: Hi | Hi"
    messages = (await server.client.get("/threads/c/messages")).json()["messages"]
    assert [message["priority"] for message in messages] == ["normal", "low", "normal", "normal"]


async def test_a_message_that_is_too_far_back_is_not_sent_as_a_new_one(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    batch = {"messages": [{"message": "x", "thread_id": "c"}] * 50}
    assert (await server.client.post("/messages/batch", json=batch)).status_code == 202
    response = await ask(server, "", chat(trigger="regenerate-message"))
    assert check_refused(response, "/api/chat", 422, "").startswith("messageId: expected one of the last 50")


async def test_answers_and_stops_need_the_scope_control(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    submits = Principal("default", frozenset({AccessScope.SUBMIT, AccessScope.READ}))
    key = await admit(server, submits)
    asked = ReadMessage().take(*chunks_of((await ask(server, "", chat(agent="approving"), key=key)).body))
    response = await ask(server, "", chat(answered(asked.parts[-1]["toolCallId"])), key=key)
    assert "scope `control`" in check_refused(response, "/api/chat", 403, "")
    check_refused(await ask(server, "/c/stop", key=key), "/api/chat", 403, "")
    check_refused(await ask(server, "/c/stop"), "/api/chat", 401, "")


async def test_foreign_chats_are_like_new_ones(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    before = await snapshot(store)
    asked: list[tuple[str, str, Any]] = [(*route, None) for route in routes_of(SURFACE) if route[1]]
    asked += [("GET", "/{thread_id}/stream?ended=true", None)]
    asked += [("POST", "", chat(answered("q"), id="{thread_id}"))]

    def requests(_: str) -> Iterator[Asked]:
        for method, path, body in asked:
            for name in (*known["thread"], *known["message"], *known["alias"]):
                yield Asked(method, path, {"thread_id": name}, {"thread_id": "ann/nothing"}, body)

    await walk(server, SURFACE, requests, at_least=300)
    for who in ("another subject", "other threads"):
        key = await admit(server, STRANGERS[who])
        for trigger in ("submit-message", "regenerate-message"):
            refused = await ask(server, "", chat(id=known["thread"][0], trigger=trigger), key=key)
            check_refused(refused, "/api/chat", 404, "")
    assert await snapshot(store) == before


@contextlib.asynccontextmanager
async def reading(server: LiveServer, path: str, body: Any, **headers: str) -> AsyncIterator[httpx2.Response]:
    """The response to a page that stays."""
    async with server.client.stream("POST", path, json=body, headers=headers) as response:
        assert response.status_code == 200
        yield response


async def test_readers_get_the_same_bytes_and_a_stop_of_the_server_is_no_end(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    services = server.runtime.services
    control.hold("second")
    message_id = (await server.submit("Hi", agent="steps"))["message_id"]
    await until(lambda: control.waits("second"), "the second node")
    async with contextlib.AsyncExitStack() as opened:
        streams = [
            await opened.enter_async_context(server.client.stream("GET", f"/api/chat/{message_id}/stream"))
            for _ in range(2)
        ]
        await until(lambda: services.streams.open_by_kind()["stream"] == 2, "two readers")
        control.release("second")
        one, other = [(await stream.aread()).split(b"\n", 1)[1] for stream in streams]
        assert one == other
        assert ReadMessage().take(*chunks_of(one)).shown() == ["<step-start>", "Step one. ", "Heard: Hi"]
    assert (await server.client.get(f"/api/chat/{message_id}/stream")).status_code == 204

    control.hold("first")
    async with reading(server, "/api/chat", chat(agent="steps")) as stream:
        await until(lambda: control.waits("first"), "the first node")
        services.streams.close()
        message = ReadMessage().take(*chunks_of(await stream.aread()))
    assert message.end is not None
    assert "the answer goes on" in message.end["errorText"]
    control.release("first")


async def test_an_ended_answer_is_streamed_again_if_a_page_asks_for_it(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    sent_first = await sent(server, chat())
    assert (await ask(server, "/c/stream", method="GET")).status == 204
    assert (await ask(server, "/other/stream?ended=true", method="GET")).status == 204
    again = ReadMessage().take(*chunks_of((await ask(server, "/c/stream?ended=true", method="GET")).body))
    assert (again.id, again.parts, again.end) == (sent_first.id, sent_first.parts, sent_first.end)
    store = server.runtime.services.store

    async def pruned() -> int:
        return (await store.prune_logs(older_than_seconds=0, limit=10))[0]

    await until(pruned, "the log is deleted")
    assert (await ask(server, "/c/stream?ended=true", method="GET")).status == 204


async def test_a_page_whose_key_is_revoked_is_told_so(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    key = await issue(server)
    async with reading(server, "/api/chat", chat(), **bearer(key)) as stream:
        await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
        await manager(server).revoke(None, key.key.id)
        message = ReadMessage().take(*chunks_of(await stream.aread()))
    assert message.end is not None
    assert "access has ended" in message.end["errorText"]


async def test_a_message_that_comes_again_is_run_once(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    asked = [asyncio.create_task(sent(server, chat(agent="approving"))) for _ in range(3)]
    questions = [await each for each in asked]
    assert len({each.id for each in questions}) == 1
    again = asyncio.create_task(sent(server, chat(answered(questions[0].parts[-1]["toolCallId"]))))
    await until(lambda: control.waits("second"), "the second node")
    late = asyncio.create_task(sent(server, chat(agent="approving")))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 2, "the late page reads too")
    control.release("second")
    assert (await late).shown() == [*questions[0].shown()[:-1], ANSWERED, *(await again).shown()]
    other = await sent(server, chat(said({"type": "text", "text": "Other"}), agent="steps"))
    assert "Heard: Other" in other.shown(), "it has the id of another message, which it replaces in the memory"
    assert (await server.client.delete("/threads/c")).status_code == 204
    anew = await sent(server, chat(agent="steps"))
    assert anew.shown()[-1] == "Heard: Hi", "another chat may have the same ids"
    assert len((await server.client.get("/threads/c/messages")).json()["messages"]) == 1
    assert control.runs["asks"] == 2, "the question and its answer"
