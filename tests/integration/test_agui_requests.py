"""Requests of AG-UI's clients: what is refused, by name and in one sentence, who may do what, and what readers get."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.store.limits import KEY_SECONDS
from tests.agui_events import ReadRun, events_of
from tests.agui_requests import FAR, GRAPHS, answer, ask, back, image, question_of, reading, run, said, sent, stored
from tests.clock import ManualClock
from tests.contract.backends import StoreFactory
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import until
from tests.surfaces import check_refused

WRONG: list[tuple[Any, int, str]] = [
    ([], 422, "body"),
    ({"runId": "r", "messages": []}, 422, "threadId"),
    ({"threadId": "t", "messages": []}, 422, "runId"),
    ({"threadId": "t", "runId": "r"}, 422, "messages"),
    (run(threadId=""), 422, "threadId"),
    (run(threadId=".."), 422, "threadId"),
    (run(run_id=""), 422, "runId"),
    (run(run_id="x" * 256), 422, "runId"),
    (run(thread_id="t"), 422, "unknown field. Known here: threadId, runId"),
    (run(said(role="person")), 422, "messages.0"),
    (run(said(id="")), 422, "messages: id: expected 1 to 255"),
    (run(said(" ")), 422, "messages: content: expected a text that is not blank, or a file"),
    (run(said("a\x00")), 422, "messages"),
    (run(said([])), 422, "messages: content"),
    (run(said([{"type": "binary"}])), 422, "messages.0"),
    (run(said([{"type": "text", "text": "x"}] * 101)), 422, "at most 100 parts"),
    (run(said([image(value="%%")])), 422, "source.value: expected data in base64"),
    (run(said([image(mimeType="png")])), 422, "source.mimeType: expected a media type"),
    (run(said([image(type="url", value="file:///etc/passwd")])), 422, "source.value: expected http"),
    (run(tools=[{"name": "t"}]), 422, "tools.0.description"),
    (run(context=[{"description": "d", "value": 1}]), 422, "context.0.value"),
    (run(state=[1]), 422, "state"),
    (run(state={"colour": "red"}), 422, "state.colour: the agent's state has no such key"),
    (run(forwardedProps={"model": "gpt-4"}), 422, "forwardedProps.model: unknown field. Known here: priority"),
    (run(forwardedProps={"priority": "odd"}), 422, "forwardedProps.priority"),
    (run(forwardedProps={"metadata": {"a": [1]}}), 422, "forwardedProps.metadata.a"),
    (run(forwardedProps={"context": {"user": 1}}), 422, "context"),
    (run(forwardedProps={"config": {"configurable": {"colour": 1}}}), 422, "config.configurable.colour"),
    (run(resume=[{"interruptId": "q"}]), 422, "resume.0.status"),
    (run(said([{"type": "text", "text": 5}])), 422, "messages.0.user.content.0.text.text: Input should"),
    (run(said([image(type="url", value="data:x")])), 422, "give the data of a file with the type `data`"),
    (run(said(), said("Other")), 422, "messages: id: two new messages have the id 'u1'"),
    (run(resume=[*answer("q"), *answer("q", "no")]), 422, "resume: the question 'q' has two answers"),
    (run({"id": "s", "role": "system", "content": "Be kind."}), 422, "messages: a run needs a new message of the user"),
    (back(state={"count": 1}), 422, "state: a run needs a new message of the user"),
    (run(resume=answer("q")), 409, "thread 't' has no open question with these ids"),
]


async def test_what_is_wrong_is_named_in_one_sentence(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await server.runtime.services.registry.loaded.wait()
    for body, status, told in WRONG:
        response = await ask(server, "/steps", body)
        assert told in check_refused(response, "/agui", status, ""), (body, response)
    context = await ask(server, "/steps", run(forwardedProps={"context": {"user": 1}}))
    assert check_refused(context, "/agui", 422, "invalid_input").startswith("context"), "it is no part of the state"
    unknown = await ask(server, "/nobody", run())
    assert "There is no agent 'nobody'" in check_refused(unknown, "/agui", 404, "agent_not_found")
    large = await ask(server, "/steps", run(said("x" * 2_000_000)))
    assert "larger than" in check_refused(large, "/agui", 413, "body_too_large")
    assert not (await server.client.get("/messages")).json()["messages"]


async def test_an_agent_tells_what_clients_can_do(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    told = (await ask(server, "/steps", method="GET")).json()
    assert told["identity"] == {"name": "steps"}
    assert (told["transport"]["resumable"], told["tools"]["clientProvided"]) == (True, False)
    check_refused(await ask(server, "/nobody", method="GET"), "/agui", 404, "agent_not_found")


async def test_the_priority_and_other_properties_are_those_of_the_message(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    props = {"priority": "high", "metadata": {"a": 1}, "config": {"recursion_limit": 9}}
    header = {"X-AgentQ-Priority": "low"}
    for at, given in enumerate(({}, {"priority": "high"})):
        body = run(said(id=f"u{at}"), run_id=f"r{at}", forwardedProps=given)
        assert (await ask(server, "/steps", body, **header)).status == 200
    await sent(server, run(said(id="u3"), run_id="r3", forwardedProps=props))
    messages = await stored(server)
    assert [message["priority"] for message in messages] == ["low", "high", "high"]
    assert messages[-1]["metadata"] == {"a": 1}
    greeted = await sent(server, run(forwardedProps={"context": {"name": "Ann"}}, threadId="g"), "greets")
    assert greeted.shown()[-1] == "Ann/1 None u1: Hi"


async def test_each_kind_of_file_is_a_content_block(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    far = [{"type": kind, "source": {"type": "url", "value": FAR}} for kind in ("audio", "video", "document")]
    named = {"type": "document", "source": {"type": "file", "value": "f1"}, "metadata": {"filename": "a.pdf"}}
    async with reading(server, run(said([{"type": "text", "text": " "}, image(), *far, named]))):
        await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    (listed,) = await stored(server)
    message = await server.runtime.services.store.get("default", listed["message_id"])
    assert message.content == "[image] [audio] [video] [file] [file]"
    blocks = (
        {"type": "image", "mime_type": "image/png", "base64": "iVBORw0KGgo="},
        *({"type": kind, "url": FAR} for kind in ("audio", "video", "file")),
        {"type": "file", "file_id": "f1", "extras": {"filename": "a.pdf"}},
    )
    assert message.options.run.blocks == blocks
    async with reading(server, back()) as page:
        (line,) = [each async for each in first_events(page, 2)][1:]
    parts = line["messages"][0]["content"]
    assert [(part["type"], part["source"]["type"]) for part in parts] == [
        *(("image", "data"), ("audio", "url"), ("video", "url"), ("document", "url"), ("document", "file"))
    ]


async def first_events(response: httpx2.Response, count: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the first events of a stream that goes on."""
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
            count -= 1
        if not count:
            return


async def test_only_the_messages_after_those_of_the_agent_are_new(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    system = {"id": "s", "role": "system", "content": "Be kind."}
    first = await sent(server, run(system, said("One", "u1"), said("Two", "u2")))
    assert first.shown()[-1] == "Heard: One | Two"
    second = await sent(server, run(*first.messages, said("Three", "u3"), run_id="r2"))
    assert second.shown()[-1] == "Heard: One | Two | Three"
    state = (await server.client.get("/threads/t/state")).json()["values"]["messages"]
    assert [each["id"] for each in state if each["type"] in ("system", "human")] == ["s", "u1", "u2", "u3"]
    whole = await sent(server, back())
    assert whole.shown() == second.shown()


async def test_a_thread_that_the_server_does_not_have_begins_with_all_messages(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    history = [
        said("One", "u1"),
        {"id": "th", "role": "reasoning", "content": "Hm"},
        {"id": "a1", "role": "assistant", "toolCalls": [call]},
        {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "2"},
        {"id": "a2", "role": "assistant", "content": "Two."},
    ]
    assert (await sent(server, run(*history, said("Three", "u3")))).shown()[-1] == "Heard: One | Three"
    whole = await sent(server, back())
    assert [each["id"] for each in whole.messages][:5] == ["u1", "a1", "t1", "a2", "u3"]
    (listed,) = await stored(server)
    assert (await server.runtime.services.store.get("default", listed["message_id"])).content == "Three"
    assert (await server.client.post("/threads", json={"thread_id": "empty"})).status_code == 201
    made = await sent(server, run(*history, said("Three", "u3"), threadId="empty"))
    assert made.shown()[-1] == "Heard: One | Three", "nobody has said anything in this thread yet"
    assert (await server.client.post("/threads/t/fork", json={"thread_id": "fork"})).status_code == 201
    forked = await sent(server, run(said("Lost", "u0"), *whole.messages, said("Four", "u4"), threadId="fork"))
    assert forked.shown()[-1] == "Heard: One | Three | Four", "the agent remembers what came before the fork"


async def test_the_state_of_a_page_is_given_to_the_agent_where_it_has_changed(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    first = await sent(server, run(state={"items": ["mine"]}), "lists")
    assert first.state == {"items": ["mine", "x"]}
    second = await sent(server, run(*first.messages, said(id="u2"), run_id="r2", state=first.state), "lists")
    assert second.state == {"items": ["mine", "x", "x"]}, "what the agent has already is not added again"
    assert (await sent(server, back(), "lists")).state == second.state
    assert (await sent(server, back(state={"items": []}), "lists")).state == second.state, "a page that only reads"
    wrong = await ask(server, "/lists", run(said(id="u3"), run_id="r3", state={"items": 5}))
    assert check_refused(wrong, "/agui", 422, "invalid_input").startswith("state.items: ")
    note = {"id": "s", "role": "system", "content": "Be kind."}
    alone = await ask(server, "/lists", run(*second.messages, note, run_id="r3"))
    assert "Nothing was stored" in check_refused(alone, "/agui", 422, "")
    assert (
        await sent(server, run(note, run_id="r3"), "lists")
    ).shown() == second.shown(), "a page that is loaded again"


async def test_agents_without_messages_or_memory(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    told = await sent(server, run(said("Hello")), "plain")
    assert told.shown() == [("user", "Hello"), "Hello"]
    again = await sent(server, run(*told.messages), "plain")
    assert again.shown() == told.shown()
    result = {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "5"}
    after = await sent(server, run(*told.messages, result, said("More", id="u2"), run_id="r2"), "plain")
    assert after.shown()[-2:] == [("user", "More"), "More"], "nothing remembers the call, so its result is left out"
    odd = await ask(server, "/any_state", run(said("Hello"), threadId="other"))
    assert "input" in check_refused(odd, "/agui", 422, "")


async def test_no_client_can_split_a_line_of_a_text(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    text = "a\u2028b\u2029c\u0085d"
    response = await ask(server, "/steps", run(said(text)))
    lines = response.body.decode().splitlines()
    assert {line.partition(":")[0] for line in lines} <= {"", "data", "retry"}
    assert f"Heard: {text}" in ReadRun().take(*events_of(response.body)).shown()


async def test_answers_go_on_and_change_nothing_else(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    props = {"priority": "high", "metadata": {"a": 1}}
    asked = await sent(server, run(forwardedProps=props), "approving")
    question = question_of(asked)
    for name, other in (
        ("priority", "low"),
        ("context", {"a": 1}),
        ("config", {"recursion_limit": 5}),
        ("metadata", {}),
    ):
        body = run(*asked.messages, run_id="r2", resume=answer(question), forwardedProps={name: other})
        told = check_refused(await ask(server, "/approving", body), "/agui", 422, "")
        assert told.startswith(f"forwardedProps.{name}: an answer goes on"), told
    resume = answer(question)
    elsewhere = await ask(server, "/steps", run(*asked.messages, run_id="r2", resume=resume))
    assert "'approving' asks" in check_refused(elsewhere, "/agui", 422, "")
    more = await ask(server, "/approving", run(*asked.messages, said(id="u2"), run_id="r2", resume=resume))
    assert "comes without a new message" in check_refused(more, "/agui", 422, "")
    both = await ask(server, "/approving", run(run_id="r2", resume=[*resume, *answer(question, status="cancelled")]))
    assert "resume.status" in check_refused(both, "/agui", 422, "")
    wrong = await ask(server, "/approving", run(run_id="r2", resume=answer("another")))
    check_refused(wrong, "/agui", 409, "not_interrupted")
    body = run(*asked.messages, run_id="r2", resume=resume, forwardedProps=props)
    answered = await sent(server, body, "approving")
    assert answered.shown() == [("user", "Hi"), "Step one. ", "yes", "Heard: Hi"]
    repeated = await sent(server, body, "approving")
    assert (repeated.shown(), repeated.outcome) == (answered.shown(), "success"), "a client may not have had the reply"
    first = await sent(server, run(*answered.messages, run_id="r"), "approving")
    assert (first.outcome, question_of(first)) == ("interrupt", question), "the first run still ends as it ended"
    assert control.runs["asks"] == 2, "the question and its answer"


async def test_a_cancelled_question_ends_the_message_and_a_new_message_may_come_with_it(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    asked = await sent(server, run(), "approving")
    refused = answer(question_of(asked), status="cancelled")
    cancelled = await sent(server, run(*asked.messages, run_id="r2", resume=refused), "approving")
    assert (cancelled.outcome, cancelled.shown()) == ("cancelled", asked.shown())
    asked = await sent(server, run(*asked.messages, said(id="u2"), run_id="r3"), "approving")
    refused = answer(question_of(asked), status="cancelled")
    await sent(server, run(*asked.messages, said(id="u3"), run_id="r4", resume=refused), "steps")
    assert [each["state"] for each in await stored(server)] == ["cancelled", "cancelled", "completed"]


async def test_a_message_that_comes_again_is_run_once(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    bodies = [run(), run(), run(run_id="other"), back("r")]
    first = asyncio.create_task(sent(server, bodies[0]))
    await until(lambda: control.waits("second"), "the second node")
    pages = [asyncio.create_task(sent(server, body)) for body in bodies[1:]]
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 4, "all read")
    control.release("second")
    wanted = (await first).shown()
    assert wanted == [("user", "Hi"), "Step one. ", "Heard: Hi"]
    for page in pages:
        assert (await page).shown() == wanted
    assert len(await stored(server)) == 1
    edited = await sent(server, run(said("Edited"), run_id="r2"))
    assert edited.shown()[-1] == "Heard: Edited", "it replaces the message with its id in the memory"
    reused = await ask(server, "/steps", run(said("New", "u9")))
    assert "runId: 'r' is the run of another message" in check_refused(reused, "/agui", 409, "alias_taken")
    assert (await server.client.delete("/threads/t")).status_code == 204
    anew = await sent(server, run())
    assert anew.shown()[-1] == "Heard: Hi", "another thread may have the same ids"


@pytest.mark.parametrize("make_store", ["sqlite"], indirect=True)
async def test_a_request_that_comes_again_after_its_key_is_forgotten_is_run_once(
    serve: Serve, control: GraphControl, make_store: StoreFactory, tmp_path: Path
) -> None:
    clock = ManualClock()
    store = make_store(tmp_path, clock)
    server = await serve(agents=GRAPHS, store=store)
    first = await sent(server, run())
    clock.advance(KEY_SECONDS + 1)
    await store.prune_keys()
    for body in (run(), run(run_id="other")):
        assert (await sent(server, body)).shown() == first.shown()
    assert len(await stored(server)) == 1
    assert (await sent(server, run(said("Edited"), run_id="r2"))).shown()[-1] == "Heard: Edited"
    check_refused(await ask(server, "/steps", run(said("New", "u9"))), "/agui", 409, "alias_taken")


async def test_a_page_that_comes_back_has_the_thread_and_the_rest(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    done = await sent(server, run(said("One")))
    control.hold("second")
    body = run(*done.messages, said("Two", "u2"), run_id="r2")
    first = asyncio.create_task(sent(server, body))
    await until(lambda: control.waits("second"), "the second node")
    pages = [asyncio.create_task(sent(server, each)) for each in (back(), back("r2"), run(*done.messages, run_id="x"))]
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 4, "all read")
    control.release("second")
    wanted = (await first).shown()
    assert wanted == [
        *(("user", "One"), "Step one. ", "Heard: One"),
        *(("user", "Two"), "Step one. ", "Heard: One | Two"),
    ]
    for page in pages:
        assert (await page).shown() == wanted
    assert (await sent(server, back())).shown() == wanted
    earlier = await sent(server, back("r"))
    assert (earlier.shown(), earlier.outcome) == (wanted, "success"), "a run of before comes with the whole thread"


async def test_a_run_whose_events_are_no_longer_kept_still_gives_its_messages(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    done = await sent(server, run())
    asked = await sent(server, run(threadId="q"), "approving")
    store = server.runtime.services.store

    async def pruned() -> int:
        return (await store.prune_logs(older_than_seconds=0, limit=10))[0]

    await until(pruned, "the log is deleted")
    again = await sent(server, back())
    assert (again.shown(), again.outcome) == (done.shown(), "success")
    assert again.end is not None
    assert again.end["result"] == "Heard: Hi"
    assert (await sent(server, back(threadId="q"))).outcome == asked.outcome == "interrupt"


async def test_a_stop_cancels_what_runs(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    body = run(threadId="a/b")
    running = asyncio.create_task(sent(server, body))
    await until(lambda: control.waits("second"), "the second node")
    assert (await ask(server, "/steps/a%2Fb/stop")).status == 204
    assert (await running).outcome == "cancelled"
    assert (await ask(server, "/steps/a%2Fb/stop")).status == 204, "nothing runs"
    check_refused(await ask(server, "/nobody/t/stop"), "/agui", 404, "agent_not_found")
    control.release("second")


async def test_readers_of_a_run_share_its_frames_and_a_stop_of_the_server_is_an_error(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=GRAPHS)
    services = server.runtime.services
    control.hold("second")
    async with contextlib.AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(reading(server, run()))]
        await until(lambda: control.waits("second"), "the second node")
        streams += [await opened.enter_async_context(reading(server, back(f"r{at}"))) for at in range(2)]
        await until(lambda: services.streams.open_by_kind()["stream"] == 3, "three readers")
        control.release("second")
        rests = [(await stream.aread()).rpartition(b"MESSAGES_SNAPSHOT")[2] for stream in streams[1:]]
        one, other = [rest.partition(b"\n\n")[2].replace(b'"r1"', b'"r0"') for rest in rests]
        assert one == other
        assert b"Heard: Hi" in one
    control.hold("first")
    async with reading(server, run(said(id="u2"), run_id="r2")) as stream:
        await until(lambda: control.waits("first"), "the first node")
        services.streams.close()
        read = ReadRun().take(*events_of(await stream.aread()))
    assert read.outcome == "server_stopping"
    assert read.end is not None
    assert "Send the same request again" in read.end["message"]
    control.release("first")
