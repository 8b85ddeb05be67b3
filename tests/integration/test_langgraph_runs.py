"""Runs of LangGraph's own Python client."""

from typing import Any
from uuid import UUID

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS, MISSING, said, sdk, texts
from tests.servers import LiveServer, until

NEW = "6a3e4b1c-0000-4000-8000-00000000000{}"


async def status_is(client: LangGraphClient, run: Any, status: str) -> Any:
    """The run once it has this status."""

    async def look() -> Any:
        found = await client.runs.get(run["thread_id"], run["run_id"])
        return found if found["status"] == status else None

    return await until(look, f"run {run['run_id']} is {status}")


async def test_runs_begin_ask_and_go_on(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        thread = NEW.format(1)
        created: list[Any] = []
        run: Any = await client.runs.create(
            thread,
            "approving",
            input=said("Delete it"),
            metadata={"page": 7, "priority": "high"},
            config={"tags": ["a"], "recursion_limit": 40, "configurable": {"thread_id": "other"}},
            if_not_exists="create",
            stream_mode=["values", "messages-tuple"],
            on_run_created=created.append,
        )
        assert created == [{"run_id": run["run_id"], "thread_id": thread}]
        assistant_id = run["assistant_id"]
        assert UUID(run["run_id"]).version == 7
        assert (run["status"], run["thread_id"], run["multitask_strategy"]) == ("pending", thread, "enqueue")
        assert run["metadata"] == {
            "page": 7, "priority": "high", "graph_id": "approving", "assistant_id": assistant_id,
        }  # fmt: skip
        assert run["kwargs"]["config"] == {"recursion_limit": 40, "tags": ["a"]}
        assert run["kwargs"]["stream_mode"] == ["values", "messages-tuple"]
        message = (await server.client.get(f"/messages/{run['run_id']}")).json()
        assert (message["priority"], message["agent"], message["events"]) == ("high", "approving", ["values"])

        await until_asked(server, run["run_id"])
        assert (await status_is(client, run, "success"))["run_id"] == run["run_id"]
        goes_on = await client.runs.create(thread, assistant_id, input={}, command={"resume": "yes"})
        assert goes_on["run_id"] != run["run_id"]
        assert goes_on["created_at"] > run["created_at"]
        assert (await client.runs.get(thread, run["run_id"]))["status"] == "success"
        await status_is(client, goes_on, "success")
        assert (await server.status(run["run_id"]))["result"] == "Heard: Delete it"

        listed = await client.runs.list(thread)
        assert [each["run_id"] for each in listed] == [goes_on["run_id"], run["run_id"]]
        assert listed[1] == await client.runs.get(thread, run["run_id"])
        assert await client.runs.list(thread, limit=1, offset=1) == listed[1:]
        assert await client.runs.list(thread, status="success") == listed
        assert await client.runs.list(thread, status="error") == []
        with pytest.raises(ConflictError, match="asks no question"):
            await client.runs.create(thread, "approving", command={"resume": "yes"})


async def until_asked(server: LiveServer, message_id: str) -> None:
    """Wait until a message asks a human."""

    async def look() -> bool:
        return bool((await server.status(message_id))["state"] == "interrupted")

    await until(look, f"message {message_id} asks")


async def test_waiting_for_runs(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        thread = (await client.threads.create())["thread_id"]
        asked: Any = await client.runs.wait(thread, "approving", input=said("Hi"))
        (question,) = asked["__interrupt__"]
        assert (texts(asked), question["value"]) == (["Hi", "Step one. "], {"question": "May I?"})
        (first,) = await client.runs.list(thread)
        assert await client.runs.join(thread, first["run_id"]) == asked
        values: Any = await client.runs.wait(thread, "approving", command={"resume": {question["id"]: "Yes."}})
        assert texts(values) == ["Hi", "Step one. ", "Yes.", "Heard: Hi"]
        second, _ = await client.runs.list(thread)
        assert await client.runs.join(thread, second["run_id"]) == values
        assert (await client.runs.join(thread, first["run_id"]))["__interrupt__"] == asked["__interrupt__"]

        # New input while a question is open begins a new turn. What was done before the question stays.
        await client.runs.wait(thread, "approving", input=said("Again"))
        values = await client.runs.wait(thread, "steps", input=said("No, this"))
        assert texts(values)[4:] == ["Again", "Step one. ", "No, this", "Step one. ", "Heard: Hi | Again | No, this"]
        assert (await client.threads.get(thread))["status"] == "idle"

        alone: Any = await client.runs.wait(None, "steps", input=said("Alone"))
        assert texts(alone) == ["Alone", "Step one. ", "Heard: Alone"]
        run = await client.runs.create(None, "steps", input=said("Later"), on_completion="delete")
        assert texts(await client.runs.join(run["thread_id"], run["run_id"])) == ["Later", "Step one. ", "Heard: Later"]
        assert await client.runs.list(run["thread_id"]) == [await client.runs.get(run["thread_id"], run["run_id"])]
        kept = await client.runs.create(None, "steps", input=said("Kept"), on_completion="keep")
        await client.runs.join(kept["thread_id"], kept["run_id"])
        assert texts((await client.threads.get(kept["thread_id"]))["values"])[0] == "Kept"
        with pytest.raises(Exception, match=r"agent_error: ValueError: this graph cannot: Hi"):
            await client.runs.wait(None, "failing", input=said("Hi"))
        batch: list[Any] = await client.runs.create_batch(
            [{"assistant_id": "steps", "input": said(text)} for text in ("One", "Two")]  # type: ignore[typeddict-item]  # as users write it
        )
        for each, text in zip(batch, ("One", "Two"), strict=True):
            assert texts(await client.runs.join(each["thread_id"], each["run_id"]))[0] == text


async def test_cancelled_runs_keep_their_steps_or_lose_them(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        thread = (await client.threads.create())["thread_id"]

        async def begun(text: str) -> Any:
            """A run that has done its first step and waits in its second."""
            control.hold("second")
            run = await client.runs.create(thread, "steps", input=said(text))
            await until(lambda: control.waits("second"), "the second node waits")
            return run

        run = await begun("One")
        assert (await client.runs.get(thread, run["run_id"]))["status"] == "running"
        assert (await client.threads.get(thread))["status"] == "busy"
        with pytest.raises(ConflictError):
            await client.runs.create(thread, "steps", input=said("No"), multitask_strategy="reject")
        await client.runs.cancel(thread, run["run_id"], wait=True)
        assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
        assert texts(await client.runs.join(thread, run["run_id"])) == ["One", "Step one. "]
        assert (await client.threads.get(thread))["status"] == "interrupted"
        with pytest.raises(NotFoundError, match="nothing to cancel"):
            await client.runs.cancel(thread, run["run_id"])
        control.release("second")

        run = await begun("Two")
        await client.runs.cancel(thread, run["run_id"], action="rollback")
        control.release("second")
        assert texts((await client.threads.get_state(thread))["values"]) == ["One", "Step one. "]
        values: Any = await client.runs.wait(thread, "steps", input=said("Three"))
        assert texts(values) == ["One", "Step one. ", "Three", "Step one. ", "Heard: One | Three"]

        control.hold("first")
        queued = [await client.runs.create(thread, "steps", input=said(text)) for text in ("Four", "Five")]
        await client.runs.cancel_many(thread_id=thread, run_ids=[queued[1]["run_id"]])
        assert (await client.runs.get(thread, queued[1]["run_id"]))["status"] == "interrupted"
        await client.runs.cancel_many(thread_id=thread, status="all")
        await status_is(client, queued[0], "interrupted")
        with pytest.raises(NotFoundError):
            await client.runs.cancel_many(thread_id=thread, run_ids=[MISSING])
        with pytest.raises(APIStatusError, match="RETENTION_DAYS"):
            await client.runs.delete(thread, queued[0]["run_id"])
        failed = await client.runs.create(thread, "failing", input=said("Six"))
        await status_is(client, failed, "error")
        await client.runs.delete(thread, failed["run_id"])
        with pytest.raises(NotFoundError):
            await client.runs.get(thread, failed["run_id"])


async def test_runs_stop_go_on_take_commands_and_begin_at_a_checkpoint(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        thread = (await client.threads.create())["thread_id"]
        stopped: Any = await client.runs.wait(thread, "steps", input=said("One"), interrupt_before=["second"])
        assert texts(stopped) == ["One", "Step one. "]
        assert "__interrupt__" not in stopped
        assert (await client.threads.get(thread))["status"] == "interrupted"
        middle = await client.threads.get_state(thread)
        assert middle["next"] == ["second"]
        whole: Any = await client.runs.wait(thread, "steps", input=None)
        assert texts(whole) == ["One", "Step one. ", "Heard: One"]
        stopped = await client.runs.wait(thread, "steps", input=said("Two"), interrupt_after="*")
        assert texts(stopped)[3:] == ["Two", "Step one. "]

        update: Any = {"messages": [{"role": "user", "content": "Three"}]}
        changed: Any = await client.runs.wait(thread, "steps", command={"update": update, "goto": "second"})
        assert texts(changed)[5:] == ["Three", "Heard: One | Two | Three"]

        forked: Any = await client.runs.wait(thread, "steps", input=None, checkpoint=middle["checkpoint"])
        assert texts(forked) == ["One", "Step one. ", "Heard: One"]
        again: Any = await client.runs.wait(
            thread, "steps", input=said("Four"), checkpoint_id=middle["checkpoint"]["checkpoint_id"]
        )
        assert texts(again) == ["One", "Step one. ", "Four", "Step one. ", "Heard: One | Four"]
        newest: Any = await client.threads.get_state(thread)
        followed: Any = await client.runs.wait(thread, "steps", input=said("Five"), checkpoint=newest["checkpoint"])
        assert texts(followed)[5:] == ["Five", "Step one. ", "Heard: One | Four | Five"]


async def test_a_header_gives_the_priority_of_runs_that_name_none(serve: Serve) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    plain = {"assistant_id": "approving", "input": said("Wait")}
    urgent = {**plain, "metadata": {"priority": "high"}}

    async def priorities_of(path: str, body: Any, **headers: str) -> list[str]:
        reply = (await server.client.post(f"/langgraph{path}", json=body, headers=headers)).json()
        runs = reply if isinstance(reply, list) else [reply]
        return [(await server.status(run["run_id"]))["priority"] for run in runs]

    low = {"X-AgentQ-Priority": "low"}
    assert await priorities_of("/runs", plain, **low) == ["low"]
    assert await priorities_of("/runs/batch", [plain, urgent], **low) == ["low", "high"]
    assert await priorities_of("/runs", plain) == ["normal"]
    refused = await server.client.post("/langgraph/runs", json=plain, headers={"X-AgentQ-Priority": "urgent"})
    assert (refused.status_code, "X-AgentQ-Priority" in refused.json()["detail"]) == (422, True)
