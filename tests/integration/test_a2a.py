"""The SDK's client of A2A against this server: cards, tasks, streams, questions, cancels and lists."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError

from app.protocols.a2a.calls import CURSOR
from tests.a2a_clients import VERSION, ReadTask, read, said, sdk, with_headers
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue
from tests.pages import DOCS, named
from tests.servers import LiveServer, until

USER, AGENT = pb.Role.ROLE_USER, pb.Role.ROLE_AGENT

PAGE = DOCS / "how-to" / "use-a2a.md"

AGENTS = ",".join(
    f"{name}=tests.graphs:{graph}"
    for name, graph in (("steps", "steps"), ("approving", "approving"), ("raises", "failing"), ("flaky", "flaky"))
)


@pytest.fixture
async def server(serve: Serve, control: GraphControl) -> LiveServer:
    """A server with agents that answer, ask, fail and try again."""
    return await serve(agents=AGENTS, retry_base_seconds=0.01)


async def card(server: LiveServer, path: str = "") -> pb.AgentCard:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await A2ACardResolver(http, f"{server.url}{path}").get_agent_card()


async def test_the_card_of_an_agent_tells_where_and_how_it_is_called(server: LiveServer) -> None:
    first, own = await card(server), await card(server, "/a2a/approving")
    assert (first.name, own.name) == ("steps", "approving")
    assert {(each.url, each.protocol_binding, each.protocol_version) for each in own.supported_interfaces} == {
        (f"{server.url}/a2a/approving", "JSONRPC", "1.0"),
        (f"{server.url}/a2a/approving", "JSONRPC", "0.3"),
    }
    assert own.capabilities.streaming
    assert [each.uri for each in own.capabilities.extensions] == [CURSOR]
    assert [skill.id for skill in own.skills] == ["approving"]
    async with sdk(server, "approving") as client:
        assert (await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest())).name == "approving"


async def test_a_task_is_a_message_and_a_context_a_thread(server: LiveServer) -> None:
    async with sdk(server) as client, sdk(server, streaming=False) as held:
        task = await read(client.send_message(said("Hello", context="t")))
        assert (task.states[0], task.states[-1], task.context_id) == ("SUBMITTED", "COMPLETED", "t")
        assert "WORKING" in task.states
        stored = (await server.client.get(f"/messages/{task.task_id}")).json()
        assert (stored["thread_id"], stored["state"], stored["result"]) == ("t", "completed", task.texts["answer"])
        again = await read(held.send_message(said("And again", context="t")))
        assert (again.states, again.texts) == (["COMPLETED"], {"answer": "Heard: Hello | And again"})
        found = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert "usage" not in str(found)
        assert found.artifacts[0].parts[0].text == task.texts["answer"]
        assert [part.text for message in found.history for part in message.parts] == ["Hello"]
        assert not (await client.get_task(pb.GetTaskRequest(id=task.task_id, history_length=0))).history


async def test_tasks_are_listed_by_context_state_and_page(server: LiveServer) -> None:
    async with sdk(server) as client:
        sent = [(await read(client.send_message(said(str(number), context="t")))).task_id for number in range(3)]
        await read(client.send_message(said("Elsewhere")))
        first = await client.list_tasks(pb.ListTasksRequest(context_id="t", page_size=2, include_artifacts=True))
        assert ([each.id for each in first.tasks], first.total_size, first.page_size) == (sent[:0:-1], 3, 2)
        assert all(each.artifacts for each in first.tasks)
        assert not first.next_page_token.isdigit(), "no number tells how many messages the server has"
        rest = await client.list_tasks(
            pb.ListTasksRequest(context_id="t", page_size=2, page_token=first.next_page_token, history_length=1)
        )
        assert ([each.id for each in rest.tasks], rest.next_page_token) == (sent[:1], "")
        assert (rest.tasks[0].history[0].parts[0].text, len(rest.tasks[0].artifacts)) == ("0", 0)
        working = await client.list_tasks(pb.ListTasksRequest(status=pb.TaskState.TASK_STATE_WORKING))
        assert (list(working.tasks), working.total_size) == ([], 0)
        ended = await client.list_tasks(pb.ListTasksRequest(status=pb.TaskState.TASK_STATE_COMPLETED))
        assert ended.total_size == 4
        rejected = await client.list_tasks(pb.ListTasksRequest(status=pb.TaskState.TASK_STATE_REJECTED))
        assert rejected.total_size == 0


async def test_a_question_asks_for_input_and_the_next_message_of_the_task_answers(server: LiveServer) -> None:
    async with sdk(server, "approving") as client, sdk(server, "approving", streaming=False) as held:
        task = await read(client.send_message(said("Go")))
        assert (task.states[-1], task.said) == ("INPUT_REQUIRED", "May I?")
        found = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert found.status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
        assert found.artifacts[0].parts[0].text == task.texts["answer"]
        subscribed = await read(client.subscribe(pb.SubscribeToTaskRequest(id=task.task_id)))
        assert (subscribed.states, subscribed.texts) == (["INPUT_REQUIRED"], task.texts)
        rest = await read(client.send_message(said("yes", task=task.task_id, context=task.context_id)))
        assert (rest.task_id, rest.states[-1]) == (task.task_id, "COMPLETED")
        ended = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert rest.texts["answer"] == ended.artifacts[0].parts[0].text
        assert [(each.role, each.parts[0].text) for each in ended.history] == [
            (USER, "Go"),
            (AGENT, "May I?"),
            (USER, "yes"),
        ]
        assert ended.history[1] == found.status.message
        assert len({each.message_id for each in ended.history}) == 3
        for length, texts in ((0, []), (1, ["yes"]), (2, ["May I?", "yes"]), (9, ["Go", "May I?", "yes"])):
            short = await client.get_task(pb.GetTaskRequest(id=task.task_id, history_length=length))
            assert [each.parts[0].text for each in short.history] == texts
        asked = await read(held.send_message(said("Go")))
        assert (asked.states, asked.said) == (["INPUT_REQUIRED"], "May I?")
        answered = await read(held.send_message(said("yes", task=asked.task_id)))
        assert (answered.states, answered.task_id) == (["COMPLETED"], asked.task_id)
        assert len((await server.client.get("/messages")).json()["messages"]) == 2
        with pytest.raises(UnsupportedOperationError, match="has ended, so it takes no message"):
            await read(client.send_message(said("more", task=task.task_id)))


async def test_a_cancelled_task_never_completes(server: LiveServer, control: GraphControl) -> None:
    control.hold("first")
    async with sdk(server) as client:
        reading = asyncio.create_task(read(client.send_message(said("Wait"))))
        await until(lambda: control.waits("first"), "the agent runs")
        (running,) = (await client.list_tasks(pb.ListTasksRequest())).tasks
        assert running.status.state == pb.TaskState.TASK_STATE_WORKING
        ended = await client.cancel_task(pb.CancelTaskRequest(id=running.id))
        assert ended.status.state == pb.TaskState.TASK_STATE_CANCELED
        assert (await reading).states[-1] == "CANCELED"
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(pb.CancelTaskRequest(id=running.id))
        with pytest.raises(TaskNotFoundError):
            await client.cancel_task(pb.CancelTaskRequest(id="nothing"))
        with pytest.raises(UnsupportedOperationError, match="has ended"):
            await read(client.subscribe(pb.SubscribeToTaskRequest(id=running.id)))


async def test_a_client_that_does_not_wait_subscribes_later(server: LiveServer, control: GraphControl) -> None:
    control.hold("second")
    at_once = pb.SendMessageConfiguration(return_immediately=True)
    async with sdk(server) as client, sdk(server, streaming=False) as held:
        task = await read(held.send_message(said("Go", configuration=at_once)))
        await until(lambda: control.waits("second"), "the agent runs")
        with pytest.raises(UnsupportedOperationError, match="does not ask anything now"):
            await read(held.send_message(said("more", task=task.task_id)))
        items = client.subscribe(pb.SubscribeToTaskRequest(id=task.task_id))
        seen = ReadTask()
        seen.take(await anext(items))
        control.release("second")  # only now: the task may end before a slower subscription begins
        await read(items, seen)
        assert (seen.states[0], seen.states[-1]) == ("WORKING", "COMPLETED")
        ended = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert seen.texts["answer"] == ended.artifacts[0].parts[0].text


async def test_a_failed_task_tells_its_error(server: LiveServer) -> None:
    async with sdk(server, "raises") as client:
        task = await read(client.send_message(said("Go")))
        assert task.states[-1] == "FAILED"
        found = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert found.status.message.parts[0].text == task.said
        stored = (await server.client.get(f"/messages/{task.task_id}")).json()
        assert task.said == stored["error"]


async def test_the_priority_is_that_of_the_header(server: LiveServer) -> None:
    async with sdk(server) as client:
        urgent = await read(client.send_message(said("Go"), context=with_headers(X_AgentQ_Priority="high", **VERSION)))
        assert (await server.client.get(f"/messages/{urgent.task_id}")).json()["priority"] == "high"


async def test_data_files_and_metadata_reach_the_agent(server: LiveServer) -> None:
    message = said("Look").message
    message.parts.append(pb.Part(url="https://example.com/cat.png", media_type="image/png"))
    message.parts.append(pb.Part(raw=b"%PDF", media_type="application/pdf", filename="a.pdf"))
    message.metadata.update({"customer": 7, "tags": ["a"]})
    async with sdk(server) as client:
        task = await read(client.send_message(pb.SendMessageRequest(message=message)))
        state = (await server.client.get(f"/threads/{task.context_id}/state")).json()
        (given,) = [each for each in state["values"]["messages"] if each["id"] == message.message_id]
        assert [block["type"] for block in given["content"]] == ["text", "image", "file"]
        stored: Any = (await server.client.get(f"/messages/{task.task_id}")).json()
        assert stored["metadata"] == {"customer": 7, "tags": json.dumps(["a"])}
        (shown,) = (await client.get_task(pb.GetTaskRequest(id=task.task_id))).history
        assert [part.WhichOneof("content") for part in shown.parts] == ["text", "url", "raw"]
        assert shown.parts[2].raw == b"%PDF"
        assert shown.message_id == message.message_id


async def test_the_position_in_the_queue_is_told(server: LiveServer, control: GraphControl) -> None:
    control.hold("first")
    async with sdk(server) as client:
        first = asyncio.create_task(read(client.send_message(said("Go"))))
        await until(lambda: control.waits("first"), "the agent runs")
        waiting = ReadTask()
        second = asyncio.create_task(read(client.send_message(said("Wait")), waiting))
        await until(lambda: waiting.notes, "the position is told")
        assert waiting.notes[0]["queue"]["position"] == 0
        control.release("first")
        await asyncio.gather(first, second)


async def test_the_card_tells_which_input_an_agent_takes(serve: Serve) -> None:
    server = await serve(agents="steps=tests.graphs:steps,any=tests.graphs:any_state")

    async def takes_data() -> bool:
        return list((await card(server, "/a2a/any")).default_input_modes) == ["application/json"]

    await until(takes_data, "the agent is known")
    assert list((await card(server, "/a2a/steps")).default_input_modes)[:2] == ["text/plain", "application/json"]


async def printed(server: LiveServer, example: str, **environment: str) -> str:
    """The output of an example of the page."""
    python = named(PAGE, example).replace("http://localhost:8000", server.url)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", python],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_example_of_the_page_prints_the_answer(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="chat=tests.graphs:plain_function")
    told = await printed(server, "tested: a2a client")
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert told == message["result"]


async def test_the_example_with_a_key_prints_the_answer(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="chat=tests.graphs:plain_function")
    key = await issue(server)
    told = await printed(server, "tested: a2a client with a key", AGENT_QUEUE_KEY=key.text)
    (message,) = (await server.client.get("/messages", headers=bearer(key))).json()["messages"]
    assert told == message["result"]
