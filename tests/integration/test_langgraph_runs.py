"""Runs of LangGraph's own Python client."""

from typing import Any
from uuid import UUID

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS, said, sdk
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
        goes_on = await client.runs.create(thread, assistant_id, command={"resume": "yes"})
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
