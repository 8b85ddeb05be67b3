"""The Python client with real servers: its methods, and runs whose server is killed and started again."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agentq_client import AgentQ, AsyncAgentQ, errors
from agentq_client.events import Cancelled, Content, Done, Interrupted, Processing, Resumed, Waiting
from agentq_client.models import Change, ChangesReset

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import openai_stub_in_thread
from tests.servers import DEADLINE_SECONDS, ServerProcess, free_port, until

AGENTS = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "approving", "flaky", "failing"))

SCOPES = ("submit", "read", "control", "admin", "metrics")

RUNS = int(os.environ.get("CLIENT_RUNS", "20"))
"""Runs whose servers are killed. The figure of the pages is measured with 200."""

RUNS_AT_ONCE = 20
KILLS = 2
"""A message whose third worker is lost fails, as it should."""


async def test_a_run_gives_the_answer(serve: Serve, control: GraphControl) -> None:
    server = await serve()

    def use() -> None:
        with AgentQ(server.url) as client:
            message = client.run("Hello", thread_id="t", metadata={"team": "red"}, priority="high")
            assert (message.result, message.state, message.priority) == ("You said: Hello", "completed", "high")
            with client.stream("Bye", thread_id="t") as stream:
                assert "".join(stream.text_stream()) == stream.text == "You said: Bye"
                assert stream.accepted is not None
                assert isinstance(stream.end, Done)
            with client.follow(stream.message_id, after=stream.last_event_id) as seen:
                assert seen.until_done().result == "You said: Bye"
            assert [each.message_id for each in client.messages(metadata={"team": "red"})] == [message.message_id]
            assert {each.message_id for each in client.threads.messages("t", limit=1)} == {
                message.message_id, stream.message_id,
            }  # fmt: skip
            state = client.threads.state("t")
            assert [each["content"] for each in state.values["messages"]][-1] == "You said: Bye"
            assert len(list(client.threads.history("t", limit=1))) >= 2
            assert client.threads.fork("t", new_thread_id="u").thread_id == "u"
            assert client.threads.change("u", {"name": "Fork"}).name == "Fork"
            assert {each.thread_id for each in client.threads.list(limit=1)} == {"t", "u"}
            client.threads.delete("u")
            again = client.regenerate(stream.message_id)
            with client.follow(again.message_id) as other:
                assert other.until_done().result == "You said: Bye"
            assert sum(row.calls for row in client.usage.list(group_by=["day", "model"])) == 3
            assert client.server.health().status == "healthy"
            assert [agent.name for agent in client.agents.list()] == ["chat"]
            assert client.tickets.create(message.message_id).ticket
            assert client.request("GET", "/queue").json()["total_completed"] == 3

    await asyncio.to_thread(use)


async def test_a_question_is_answered(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with AsyncAgentQ(server.url) as client:
        with pytest.raises(errors.MessageInterrupted) as raised:
            await client.run("Hello", agent="approving", thread_id="t")
        (question,), message_id = (raised.value.questions, raised.value.message_id)
        assert question["value"] == {"question": "May I?"}
        seen: list[Any] = []
        async with client.follow(message_id) as stream:
            async for event in stream:
                match event:
                    case Interrupted(questions=({"id": asked},)):
                        await client.resume(message_id, values={asked: "Yes."})
                seen.append(type(event))
            assert isinstance(stream.end, Done)
        stored = await client.stored_events(message_id, after=1)
        assert [event.id for event in stored] == list(range(2, (stream.last_event_id or 0) + 1))
        assert stored[-1] == stream.end
        assert seen.index(Interrupted) < seen.index(Resumed)
        async with client.follow(message_id) as again:
            message = await again.until_done()  # although the log still has the question
        assert message.result == stream.text == stream.end.text
        with pytest.raises(errors.Conflict) as refused:
            await client.resume(message_id, "No.")
        assert (refused.value.code, refused.value.state) == ("not_interrupted", "completed")
        await client.threads.update_state("t", {"messages": [{"role": "user", "content": "One more."}]})
        state = await client.threads.state("t")
        assert state.values["messages"][-1]["content"] == "One more."


async def test_waiting_messages_are_seen_changed_and_cancelled(serve: Serve, control: GraphControl) -> None:
    control.hold("first")
    server = await serve(agents=AGENTS)
    async with AsyncAgentQ(server.url) as client:
        first, second, third = await client.submit_batch(
            [{"message": "a", "agent": "steps"}, {"message": "b", "agent": "steps"}, {"input": {}, "agent": "steps"}]
        )
        await until(lambda: control.waits("first"), "the first message runs")
        stream = client.follow(second.message_id, wait_seconds=0.2)
        with pytest.raises(errors.WaitTimeout) as late:
            await stream.until_done()
        assert late.value.message_id == second.message_id
        assert stream.position is not None
        changed = await client.set_priority(third.message_id, "high")
        assert changed.priority == "high"
        assert (await client.queue.pause()).paused
        assert (await client.queue.get()).paused
        async with client.follow(third.message_id) as stream:
            await stream.cancel()
            assert [type(event) async for event in stream][-1] is Cancelled
        with pytest.raises(errors.MessageCancelled):
            async with client.follow(third.message_id) as stream:
                await stream.until_done()
        await client.queue.resume()
        cancelled = await client.cancel_all({"state": "queued"}, expected_count=1)
        assert cancelled.cancelled == [second.message_id]
        control.release("first")
        async with client.follow(first.message_id) as stream:
            kinds = [type(event) async for event in stream if not isinstance(event, Waiting)]
        assert (kinds[0], kinds[-1]) == (Processing, Done)
        assert Content in kinds
        assert stream.state == "completed"


async def test_dead_letters_are_requeued_and_purged(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    control.crash("flaky")
    async with AsyncAgentQ(server.url) as client:
        with pytest.raises(errors.MessageFailed) as failed:
            await client.run("Hello", agent="flaky")
        assert failed.value.code == "agent_error"
        (letter,) = [each async for each in client.dead_letters.list(agent="flaky")]
        assert letter.message_id == failed.value.message_id
        assert [group.count for group in await client.dead_letters.groups()] == [1]
        ((again,),) = [(await client.dead_letters.requeue([letter.message_id])).requeued]
        async with client.follow(again.message_id) as stream:
            assert (await stream.until_done()).result == "It works."
        with pytest.raises(errors.Conflict, match="not_failed"):
            await client.retry(again.message_id)
        with pytest.raises(errors.MessageFailed):
            await client.run("Hello", agent="failing")
        purged = await client.dead_letters.purge(filter={"agent": "failing"}, expected_count=1)
        assert len(purged.purged) == 1


async def test_a_submit_with_the_same_key_is_stored_once(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    async with AsyncAgentQ(server.url) as client:
        first = await client.submit("Hello", idempotency_key="order-7")
        second = await client.submit("Hello", idempotency_key="order-7")
        assert (first.message_id, first.is_replayed, second.is_replayed) == (second.message_id, False, True)
        with pytest.raises(errors.InvalidRequest, match="idempotency_key_reused"):
            await client.submit("Bye", idempotency_key="order-7")


async def test_bad_requests_name_what_is_wrong(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1)
    async with AsyncAgentQ(server.url, max_retries=0) as client:
        with pytest.raises(errors.InvalidRequest) as raised:
            await client.submit("Hello", priority="huge")  # type: ignore[arg-type]  # wrong on purpose
        assert [field.field for field in raised.value.fields] == ["priority"]
        with pytest.raises(errors.NotFound, match="message_not_found"):
            await client.status("nobody")
        await client.submit("Hello")
        with pytest.raises(errors.QueueFull) as full:
            await client.submit("Hello")
        assert full.value.retry_after is not None
        with pytest.raises(errors.AuthenticationError, match="invalid_api_key"):
            await client.with_options(api_key="aq_wrong").queue.get()
        with pytest.raises(errors.ServerTooOld):
            await client.request("GET", "/nowhere")
    with pytest.raises(errors.ServerUnreachable, match="AGENTQ_URL"):
        await AsyncAgentQ(f"http://127.0.0.1:{free_port()}", max_retries=0).submit("Hello")


async def test_an_operator_keeps_keys_items_and_figures(serve: Serve) -> None:
    server = await serve()
    async with AsyncAgentQ(server.url) as local:
        assert (await local.server.caller()).actor == "local"
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        made = await local.keys.create("ops", scopes=SCOPES, expires_at=tomorrow)
        client = local.with_options(api_key=made.key)
        rotated = await client.keys.rotate(made.id, grace_seconds=0)
        client = local.with_options(api_key=rotated.key)
        other = await client.keys.create("shop", tenant="shop", expires_at=made.expires_at)
        assert {key.id for key in [each async for each in client.keys.list(limit=1)]} == {made.id, other.id}
        assert (await client.keys.get(other.id)).scopes == ["submit", "read", "control"]
        assert (await client.keys.revoke(other.id)).revoked_at is not None
        token = await client.tokens.create(subject="ada", scopes=["read"])
        user = local.with_options(api_key=token.token)
        assert (await user.server.caller()).subject == "ada"
        assert (await client.tokens.revoke("ada")).subject == "ada"
        with pytest.raises(errors.AuthenticationError):
            await user.server.caller()

        for number in range(3):
            await client.items.put(["users", "ada"], f"k{number}", {"n": number}, ttl_minutes="never")
        await client.items.put("teams", "red", {"size": 2})
        assert (await client.items.get(["users", "ada"], "k1")).value == {"n": 1}
        await client.items.delete(["users", "ada"], "k1")
        assert {item.key async for item in client.items.search("users", limit=1)} == {"k0", "k2"}
        found = [each async for each in client.items.namespaces(limit=1)]
        assert found == [("teams",), ("users", "ada")]

        message = await client.run("Hello")
        deliveries = await client.deliveries.of_message(message.message_id)
        assert deliveries == []
        (worker,) = await client.workers.list()
        assert worker.slots == 1
        assert (await client.workers.drain(worker.id)).state in {"draining", "drained"}
        assert (await client.workers.resume(worker.id)).state == "active"
        statistics = await client.statistics.get(agent="chat")
        assert statistics.counts["completed"] == 1
        series = await client.statistics.series("completed", step=3600, since=datetime.now(UTC) - timedelta(hours=2))
        assert sum(point.count for point in series.series[0].points) == 1
        assert (await client.usage.csv(group_by=["model"])).startswith("model,")
        assert (await client.server.doctor()).checks > 5
        assert "agentq_store_up 1" in await client.server.metrics()
        assert (await client.server.ready()).status == "healthy"
        assert (await client.agents.get("chat")).is_default
        actions = [record.action async for record in client.audit.list(limit=2)]
        assert actions[-1] == "key.create"
        assert {"key.rotate", "key.revoke", "tokens.end", "item.put", "item.delete"} < set(actions)


async def test_changes_are_followed_and_listed(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    async with AsyncAgentQ(server.url) as client:
        async with client.changes.follow(type=["message.accepted", "message.cancelled"]) as stream:
            changes = aiter(stream)
            assert isinstance(await anext(changes), ChangesReset)
            first = await client.submit("One")
            change = await anext(changes)
            assert isinstance(change, Change)
            assert (change.type, change.message_id) == ("message.accepted", first.message_id)
        await client.cancel_queued(first.message_id)
        async with client.changes.follow(after=stream.last_event_id, state=["cancelled"]) as later:
            async for each in later:
                assert isinstance(each, Change)
                assert (each.type, each.message_id) == ("message.cancelled", first.message_id)
                break
        page = await client.changes.list(after=stream.last_event_id)
        assert [each.type for each in page.events] == ["message.cancelled"]
        assert (page.last_event_id, page.more) == (later.last_event_id, False)


async def texts_with(client: AsyncAgentQ, number: int) -> str:
    """Return the text of a run, read with one client or the other."""
    words = f"#delay 0.03 run {number} says " + " ".join(f"{number}.{word}" for word in range(25))
    if number % 2:
        pieces = []
        async with client.stream(words) as stream:
            async for piece in stream.text_stream():
                pieces += [piece]
        return "".join(pieces)

    def read() -> str:
        with AgentQ(client.base_url, max_retries=20) as other, other.stream(words) as stream:
            return "".join(stream.text_stream())

    return await asyncio.to_thread(read)


def expected_text(number: int) -> str:
    return f"run {number} says " + " ".join(f"{number}.{word}" for word in range(25))


async def test_runs_give_every_text_once_while_their_server_is_killed(tmp_path: Path) -> None:
    environment = {"WORKER_CONCURRENCY": "10", "OPENAI_API_KEY": "sk-test", "PORT": str(free_port())}
    url = f"http://127.0.0.1:{environment['PORT']}"
    with openai_stub_in_thread() as stub:
        environment["OPENAI_BASE_URL"] = stub.base_url

        def start() -> ServerProcess:
            return ServerProcess(tmp_path, cold=False, **environment)

        server = start()
        try:
            for first in range(0, RUNS, RUNS_AT_ONCE):
                numbers = range(first, first + RUNS_AT_ONCE)
                async with AsyncAgentQ(url, max_retries=20) as client, asyncio.TaskGroup() as group:
                    tasks = [group.create_task(texts_with(client, number)) for number in numbers]
                    for _ in range(KILLS):
                        await stub.received(len(stub.requests) + 5, DEADLINE_SECONDS)
                        server.kill()
                        server = start()
                assert [task.result() for task in tasks] == [expected_text(number) for number in numbers]
            async with AsyncAgentQ(url) as client:
                assert (await client.queue.get()).total_completed == RUNS, "nothing was submitted twice"
        finally:
            server.kill()
