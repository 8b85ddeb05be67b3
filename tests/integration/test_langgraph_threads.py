"""Threads, states, assistants and items by LangGraph's own Python client."""

from typing import Any

import pytest
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError, UnprocessableEntityError

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS, MISSING, said, sdk, texts

NEW = "6a3e4b1c-0000-4000-8000-00000000000{}"


async def test_threads_are_made_changed_found_copied_and_deleted(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        threads: Any = client.threads
        empty: Any = await threads.create(metadata={"owner": "ann"}, thread_id=NEW.format(1), graph_id="steps")
        assert (empty["status"], empty["values"], empty["interrupts"]) == ("idle", None, {})
        assert empty["metadata"] == {"owner": "ann", "graph_id": "steps"}
        with pytest.raises(ConflictError):
            await threads.create(thread_id=empty["thread_id"])
        assert await threads.create(thread_id=empty["thread_id"], if_exists="do_nothing") == empty
        assert await threads.get(empty["thread_id"]) == empty
        assert await threads.get_history(empty["thread_id"]) == []
        state = await threads.get_state(empty["thread_id"])
        assert (state["values"], state["next"], state["tasks"], state["checkpoint"]) == ({}, [], [], None)

        asked: Any = await threads.create()
        assert texts(await client.runs.wait(empty["thread_id"], "steps", input=said("Hi"))) == HI
        answer: Any = await client.runs.wait(asked["thread_id"], "approving", input=said("Hi"))
        thread: Any = await threads.get(asked["thread_id"])
        assert thread["status"] == "interrupted"
        assert texts(thread["values"]) == ["Hi", "Step one. "]
        assert list(thread["interrupts"].values()) == [answer["__interrupt__"]]
        failed = (await threads.create())["thread_id"]
        with pytest.raises(Exception, match="this graph cannot: Hi"):
            await client.runs.wait(failed, "failing", input=said("Hi"))
        assert (await threads.get(failed))["status"] == "error"

        found = await threads.search(metadata={"graph_id": "approving"})
        assert found == [thread]
        assert (
            thread["metadata"]["assistant_id"]
            == (await client.assistants.search(graph_id="approving"))[0]["assistant_id"]
        )
        by_creation = [each["thread_id"] for each in await threads.search(sort_by="created_at", sort_order="asc")]
        assert by_creation == [empty["thread_id"], asked["thread_id"], failed]
        assert [each["thread_id"] for each in await threads.search(limit=1, offset=1)] == [asked["thread_id"]]
        assert [each["thread_id"] for each in await threads.search(status="error")] == [failed]
        assert await threads.search(ids=[failed], select=["thread_id", "status"]) == [
            {"thread_id": failed, "status": "error"}
        ]
        assert await threads.count() == 3
        assert await threads.count(metadata={"owner": "ann"}) == 1
        with pytest.raises(UnprocessableEntityError, match="values"):
            await threads.search(values={"a": 1})

        changed: Any = await threads.update(empty["thread_id"], metadata={"owner": "bob", "page": 1.5})
        assert changed["metadata"].items() >= {"owner": "bob", "page": 1.5, "graph_id": "steps"}.items()
        assert await threads.update(empty["thread_id"], metadata={"page": 2}, return_minimal=True) is None
        copied: Any = await threads.copy(empty["thread_id"])
        assert copied["thread_id"] != empty["thread_id"]
        assert texts(copied["values"]) == HI
        assert copied["metadata"]["page"] == 2
        untouched: Any = await threads.copy((await threads.create(metadata={"a": 1}))["thread_id"])
        assert (untouched["values"], untouched["metadata"]) == (None, {"a": 1})
        await threads.delete(empty["thread_id"])
        with pytest.raises(NotFoundError):
            await threads.get(empty["thread_id"])
        assert texts((await threads.get(copied["thread_id"]))["values"]) == HI


async def test_a_thread_has_a_ttl(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        threads: Any = client.threads
        thread = (await threads.create(ttl=30))["thread_id"]
        found = await threads.get(thread, include=["ttl"])
        assert found["ttl"].items() >= {"strategy": "delete", "ttl_minutes": 30}.items()
        assert found["ttl"]["expires_at"] > found["updated_at"]
        await threads.update(thread, metadata={}, ttl={"ttl": 1.5, "strategy": "delete"})
        assert (await threads.get(thread, include=["ttl"]))["ttl"]["ttl_minutes"] == 1.5
        await threads.update(thread, metadata={"a": 1})
        assert (await threads.get(thread, include=["ttl"]))["ttl"]["ttl_minutes"] == 1.5
        assert "ttl" not in await threads.get(thread)
        without = (await threads.create())["thread_id"]
        assert (await threads.get(without, include=["ttl"]))["ttl"] is None
        with pytest.raises(UnprocessableEntityError, match="delete"):
            await threads.create(ttl={"ttl": 5, "strategy": "keep_latest"})


HI = ["Hi", "Step one. ", "Heard: Hi"]


async def test_states_are_read_and_changed(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        thread = (await client.threads.create())["thread_id"]
        given: Any = {"messages": [{"type": "human", "content": "Hi", "id": "m1"}]}
        await client.runs.wait(thread, "approving", input=given)
        state: Any = await client.threads.get_state(thread)
        assert state["next"] == ["asks"]
        (task,) = state["tasks"]
        assert (task["name"], task["interrupts"]) == ("asks", state["interrupts"])
        assert state["interrupts"][0]["value"] == {"question": "May I?"}
        first, second = state["values"]["messages"]
        assert first == {
            "content": "Hi", "additional_kwargs": {}, "response_metadata": {},
            "type": "human", "name": None, "id": "m1",
        }  # fmt: skip
        assert second.keys() == {*first, "tool_calls", "invalid_tool_calls", "usage_metadata"}

        history: Any = await client.threads.get_history(thread)
        assert history[0] == state
        assert [each["next"] for each in history] == [["asks"], ["first"], ["__start__"]]
        assert history[0]["parent_checkpoint"] == history[1]["checkpoint"]
        older: Any = await client.threads.get_history(thread, before=history[0]["checkpoint"], limit=1)
        assert older == history[1:2]
        config: Any = {"configurable": {"checkpoint_id": history[1]["checkpoint_id"]}}
        by_config: Any = await client.threads.get_history(thread, before=config)
        assert by_config == history[2:]
        at = history[1]["checkpoint"]
        assert await client.threads.get_state(thread, checkpoint=at) == history[1]
        assert await client.threads.get_state(thread, checkpoint_id=at["checkpoint_id"]) == history[1]

        answer: Any = {"role": "user", "content": "No."}
        made = await client.threads.update_state(thread, {"messages": [answer]}, as_node="asks")
        changed: Any = await client.threads.get_state(thread)
        assert changed["checkpoint"] == made["checkpoint"]
        assert (changed["next"], texts(changed["values"])) == (["second"], ["Hi", "Step one. ", "No."])
        with pytest.raises(UnprocessableEntityError, match="as_node"):
            await client.threads.update_state(thread, {"messages": []}, as_node="nobody")
        with pytest.raises(NotFoundError):
            await client.threads.get_state(thread, checkpoint_id=MISSING)


async def test_metadata_keep_arrays_and_objects(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    nested = {"user": {"name": "ann", "tags": ["a"]}, "plain": "json:[]", "owner": "ann"}
    async with sdk(server) as client:
        thread: Any = await client.threads.create(metadata=nested)
        assert thread["metadata"] == nested
        run: Any = await client.runs.create(thread["thread_id"], "steps", input=said("Hi"), metadata={"path": [1, {}]})
        assert run["metadata"]["path"] == [1, {}]
        await client.runs.join(thread["thread_id"], run["run_id"])
        changed: Any = await client.threads.update(thread["thread_id"], metadata={"user": {"name": "bob"}})
        assert changed["metadata"].items() >= {**nested, "user": {"name": "bob"}, "path": [1, {}]}.items()
        assert [each["metadata"] for each in await client.threads.search(metadata={"owner": "ann"})] == [
            changed["metadata"]
        ]
        assert await client.threads.count(metadata={"plain": "json:[]"}) == 1
        threads: Any = client.threads
        copied = await threads.copy(thread["thread_id"])
        assert copied["metadata"] == changed["metadata"]
        with pytest.raises(UnprocessableEntityError, match=r"metadata\.user"):
            await client.threads.search(metadata={"user": {"name": "bob"}})
    native = (await server.client.get(f"/threads/{thread['thread_id']}")).json()
    assert native["metadata"]["user"] == 'json:{"name":"bob"}'


async def test_assistants_are_agents_and_items_are_those_of_graphs(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await server.runtime.services.registry.loaded.wait()
    async with sdk(server) as client:
        (assistant,) = await client.assistants.search(graph_id="steps", metadata={"created_by": "system"})
        assert assistant["assistant_id"] == "01d10e59-d4b4-51ec-8e94-9b2716b34de8"
        assert assistant == await client.assistants.get(assistant["assistant_id"])
        page: Any = await client.assistants.search(limit=2, sort_by="name", sort_order="asc", response_format="object")
        assert ([each["name"] for each in page["assistants"]], page["next"]) == (["approving", "failing"], "2")
        assert await client.assistants.count() == 3
        assert await client.assistants.search(metadata={"created_by": {"a": "user"}}) == []
        graph: Any = await client.assistants.get_graph(assistant["assistant_id"])
        assert [node["id"] for node in graph["nodes"]] == ["__start__", "first", "second", "__end__"]
        assert {"source": "first", "target": "second"} in graph["edges"]
        assert await client.assistants.get_graph("steps") == graph
        schemas: Any = await client.assistants.get_schemas(assistant["assistant_id"])
        assert schemas["graph_id"] == "steps"
        for name in ("input_schema", "output_schema", "state_schema"):
            assert "messages" in schemas[name]["properties"]
        with pytest.raises(APIStatusError, match="LANGGRAPH_CONFIG") as refused:
            await client.assistants.create("steps")
        assert refused.value.status_code == 501
        with pytest.raises(APIStatusError, match="crons"):
            await client.crons.search()

        items = client.store
        await items.put_item(("a", "b"), "k", {"n": 1})
        assert (await items.get_item(("a", "b"), "k"))["value"] == {"n": 1}
        assert [each["key"] for each in (await items.search_items(("a",), filter={"n": 1}))["items"]] == ["k"]
        assert (await items.list_namespaces())["namespaces"] == [["a", "b"]]
        await items.delete_item(("a", "b"), "k")
        assert await items.get_item(("a", "b"), "k") is None
