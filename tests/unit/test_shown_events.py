"""The events that a message has asked for besides the answer, and that a run shows none of them unasked."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import MessagesState
from langgraph.types import Command, StreamWriter, interrupt

from app.agents.base import AgentInterrupted, AgentTask, Drain
from app.models.attempts import Lease
from app.models.events import NewEvent
from app.models.inputs import ShownEvent
from app.models.parts import USAGE, Part
from app.models.usage import MeteredCall
from app.prices.file import default_prices
from tests.unit.shown_graphs import Shown, agent_of, beside, calls, chain, saying, shown_by, taking_turns


async def speaks(_: MessagesState) -> dict[str, Any]:
    get_stream_writer()("Working.")
    return {"messages": [AIMessage("Done.", id="1")]}


async def kinds_of(graph: Any, *events: ShownEvent) -> list[str]:
    return [part.type for part in (await shown_by(graph, *events)).parts]


async def test_a_run_shows_only_the_events_that_were_asked_for() -> None:
    assert await kinds_of(chain(speaks=speaks)) == ["content"]
    assert await kinds_of(chain(speaks=speaks), ShownEvent.CUSTOM) == ["custom", "content"]
    assert await kinds_of(chain(speaks=speaks), ShownEvent.UPDATES) == ["content", "updates"]
    assert await kinds_of(chain(speaks=speaks), ShownEvent.NODE) == ["node", "content", "node"]


async def test_updates_are_what_each_node_wrote() -> None:
    (written,) = (await shown_by(chain(speaks=speaks), ShownEvent.UPDATES)).of("updates")
    (message,) = written["speaks"]["messages"]
    assert (message["type"], message["content"], message["id"]) == ("ai", "Done.", "1")


async def test_values_are_the_state_before_the_first_step_and_after_each() -> None:
    values = (await shown_by(chain(speaks=speaks), ShownEvent.VALUES)).of("values")
    assert [[each["content"] for each in state["messages"]] for state in values] == [
        ["question 1"],
        ["question 1", "Done."],
    ]


async def test_a_node_starts_and_ends_with_the_path_of_its_subgraph() -> None:
    shown = await shown_by(chain(outer=chain(inner=chain(speaks=speaks))), ShownEvent.NODE)
    nodes = [part for part in shown.parts if part.type == "node"]
    told = [(part.chunk["state"], part.chunk["node"], part.path) for part in nodes if isinstance(part.chunk, dict)]
    starts = [("start", "outer", ()), ("start", "inner", ("outer",)), ("start", "speaks", ("outer", "inner"))]
    assert told == [*starts, *(("end", node, path) for _, node, path in reversed(starts))]
    tasks = [part.chunk["task"] for part in nodes if isinstance(part.chunk, dict)]
    assert tasks[:3] == tasks[:2:-1]
    assert len(set(tasks)) == 3


async def test_chunks_of_a_subgraph_have_its_path() -> None:
    model = saying("Let me ", "see.")
    shown = await shown_by(chain(inner=chain(speaks=calls(model)), last=speaks))
    assert [(part.type, part.node, part.path) for part in shown.parts] == [
        ("content", "speaks", ("inner",)),
        ("content", "speaks", ("inner",)),
        ("discard", "speaks", ("inner",)),
        ("content", "last", ()),
    ]


async def test_pieces_of_messages_have_tool_calls_in_parts_and_their_metadata_once() -> None:
    def pieces(tokens: list[AIMessageChunk]) -> Any:
        return chain(speaks=calls(saying(*tokens)))

    called = [
        AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args=args, id=call, index=0)])
        for name, args, call in (("add", "", "call 1"), (None, '{"a"', None), (None, ": 1}", None))
    ]
    shown = await shown_by(pieces(called), ShownEvent.MESSAGES)
    found = [part.chunk for part in shown.parts if part.type == "messages" and isinstance(part.chunk, dict)]
    chunks = [chunk for each in found for chunk in each["piece"].get("tool_call_chunks", [])]
    assert [(each["name"], each["args"]) for each in chunks] == [("add", ""), (None, '{"a"'), (None, ": 1}")]
    assert len({each["piece"]["id"] for each in found}) == 1
    assert ["metadata" in each for each in found] == [True] + [False] * (len(found) - 1)
    metadata = found[0]["metadata"]
    assert (metadata["langgraph_node"], metadata["langgraph_step"]) == ("speaks", 1)
    assert metadata["langgraph_checkpoint_ns"].startswith("speaks:")
    assert not [name for name in metadata if name == "thread_id" or name.startswith("__")]
    unasked = await shown_by(pieces(called))
    assert [part for part in shown.parts if part.type != "messages"] == unasked.parts


async def test_tasks_checkpoints_and_debug_are_those_of_langgraph_without_what_is_ours() -> None:
    graph = chain(outer=chain(speaks=speaks))
    events = (ShownEvent.NODE, ShownEvent.TASKS, ShownEvent.CHECKPOINTS, ShownEvent.DEBUG)
    shown = await shown_by(graph, *events)
    tasks = [(part.chunk, part.path) for part in shown.parts if part.type == "tasks" and isinstance(part.chunk, dict)]
    assert [(each["name"], "result" in each, path) for each, path in tasks] == [
        ("outer", False, ()), ("speaks", False, ("outer",)), ("speaks", True, ("outer",)), ("outer", True, ()),
    ]  # fmt: skip
    assert len([part for part in shown.parts if part.type == "node"]) == 4
    checkpoints = shown.of("checkpoints")
    assert [each["next"] for each in checkpoints if each["config"]["configurable"]["checkpoint_ns"] == ""] == [
        ["__start__"], ["outer"], [],
    ]  # fmt: skip
    assert {type(each["payload"]["id"]) for each in shown.of("debug") if each["type"].startswith("task")} == {str}
    assert {each["type"] for each in shown.of("debug")} == {"checkpoint", "task", "task_result"}
    text = json.dumps([part.chunk for part in shown.parts])
    for ours in ("__", "thread_id", "default/"):
        assert ours not in text.replace("__start__", "").replace("__pregel", ""), ours


async def test_a_question_is_no_update_and_no_value() -> None:
    def asks(_: MessagesState) -> dict[str, Any]:
        interrupt("Really?")
        return {}

    shown = Shown()
    with pytest.raises(AgentInterrupted):
        await shown.collect(agent_of(chain(asks=asks)), events=(ShownEvent.VALUES, ShownEvent.UPDATES))
    assert [part.type for part in shown.parts] == ["values"]


async def test_a_branch_that_an_earlier_attempt_finished_starts_and_ends_in_the_next() -> None:
    failures = iter([RuntimeError("once")])
    has_spoken = asyncio.Event()

    def note(part: Part) -> None:
        if isinstance(part.chunk, dict) and (part.chunk.get("node"), part.chunk.get("state")) == ("speaks", "end"):
            has_spoken.set()

    async def fails_once(_: MessagesState) -> dict[str, Any]:
        await has_spoken.wait()
        for error in failures:
            raise error
        return {"messages": [AIMessage("There.", id="2")]}

    agent = agent_of(chain(outer=beside(speaks=speaks, fails_once=fails_once)))
    asked = (ShownEvent.NODE, ShownEvent.UPDATES)
    with pytest.raises(RuntimeError):
        await Shown().collect(agent, after=note, events=asked)
    shown = await Shown().collect(agent, events=asked, fence=2)
    told = sorted((each["node"], each["state"]) for each in shown.of("node"))
    assert told == sorted((node, state) for node in ("outer", "speaks", "fails_once") for state in ("start", "end"))
    assert {name for each in shown.of("updates") for name in each} == {"outer", "speaks", "fails_once"}


# Tokens


def counted(model: str | None, number: int) -> AIMessageChunk:
    usage: Any = {"input_tokens": number, "output_tokens": 1, "total_tokens": number + 1}
    details = {"input_token_details": {"cache_read": 1}}
    name = {} if model is None else {"model_name": model}
    return AIMessageChunk(content="a", usage_metadata={**usage, **details}, response_metadata=name)


async def usage_of(*models: BaseChatModel) -> dict[str, Any]:
    """Return the event with what a run uses that calls these models one after the other, by model."""
    task = AgentTask(Lease("message", 1, 1, "worker"), "question", "thread", (1, 1), Drain())
    nodes = {f"node{at}": calls(model) for at, model in enumerate(models)}
    async with aclosing(agent_of(chain(**nodes)).run(task)) as parts:
        calls_of_steps = [task.usage.take() async for part in parts if part is USAGE]
    assert all(len(step) == 1 for step in calls_of_steps), "each step tells of its calls when it ends"
    prices = default_prices()
    counted = [MeteredCall(each.counts, prices.usage_of(each)) for step in calls_of_steps for each in step]
    found: dict[str, Any] = json.loads(NewEvent.usage(counted).data)["models"]
    return found


async def test_tokens_are_counted_by_model_over_all_calls_of_a_run() -> None:
    assert await usage_of(saying(counted("gpt-4o", 3)), saying(counted("y", 5)), saying(counted("gpt-4o", 4))) == {
        "gpt-4o": {
            "input_tokens": 7,
            "output_tokens": 2,
            "total_tokens": 9,
            "input_token_details": {"cache_read": 2},
            "calls": 2,
            "cost": "0.000035",
            "cost_complete": True,
        },
        "y": {
            "input_tokens": 5,
            "output_tokens": 1,
            "total_tokens": 6,
            "input_token_details": {"cache_read": 1},
            "calls": 1,
            "cost": None,
            "cost_complete": False,
        },
    }


async def test_tokens_of_a_model_without_a_name_count_too() -> None:
    (counts,) = (await usage_of(saying(counted(None, 3)))).values()
    assert counts["total_tokens"] == 4


async def test_a_model_that_reports_nothing_has_no_usage() -> None:
    assert await usage_of(saying("Hello.")) == {}


# What nodes and tools write


def sync_node(_: MessagesState) -> dict[str, Any]:
    get_stream_writer()({"from": "sync node"})
    return {}


async def async_node(_: MessagesState) -> dict[str, Any]:
    get_stream_writer()({"from": "async node"})
    return {}


async def node_with_task(_: MessagesState) -> dict[str, Any]:
    async def work() -> None:
        get_stream_writer()({"from": "task"})

    await asyncio.create_task(work())
    return {}


async def node_with_thread(_: MessagesState) -> dict[str, Any]:
    await asyncio.to_thread(lambda: get_stream_writer()({"from": "thread"}))
    return {}


async def node_with_argument(_: MessagesState, writer: StreamWriter) -> dict[str, Any]:
    writer({"from": "argument"})
    return {}


@pytest.mark.parametrize("node", [sync_node, async_node, node_with_task, node_with_thread, node_with_argument])
async def test_nodes_write_custom_events(node: Any) -> None:
    shown = await shown_by(chain(node=node, speaks=calls(saying("Done."))), ShownEvent.CUSTOM)
    (written,) = shown.of("custom")
    assert written["from"].replace(" ", "_") in node.__name__


@tool
async def async_tool() -> str:
    """Work."""
    get_stream_writer()({"from": "async tool"})
    return "1"


@tool
def sync_tool() -> str:
    """Work."""
    get_stream_writer()({"from": "sync tool"})
    return "2"


async def test_tools_write_custom_events() -> None:
    made = [
        {"name": name, "args": "{}", "id": name, "index": at} for at, name in enumerate(("async_tool", "sync_tool"))
    ]
    model = taking_turns([AIMessageChunk(content="", tool_call_chunks=made)], ["Done."])
    shown = await shown_by(create_agent(model, tools=[async_tool, sync_tool]), ShownEvent.CUSTOM)
    assert sorted(written["from"] for written in shown.of("custom")) == ["async tool", "sync tool"]


async def test_custom_events_of_a_subgraph_come_at_once_and_in_order() -> None:
    async def writes(_: MessagesState) -> Command[Any]:
        for number in range(3):
            get_stream_writer()(number)
        return Command(update={"messages": [AIMessage("Done.")]})

    shown = await shown_by(chain(inner=chain(writes=writes)), ShownEvent.CUSTOM)
    assert [(part.type, part.chunk) for part in shown.parts] == [
        ("custom", 0),
        ("custom", 1),
        ("custom", 2),
        ("content", "Done."),
    ]
    assert [part.path for part in shown.parts] == [("inner",)] * 4


async def test_custom_events_are_what_json_can_carry() -> None:
    def writes(_: MessagesState) -> dict[str, Any]:
        for value in ("text", None, float("inf"), {"half": "\ud83d", "set": {1}}):
            get_stream_writer()(value)
        return {"messages": [AIMessage("Done.")]}

    shown = await shown_by(chain(writes=writes), ShownEvent.CUSTOM)
    assert shown.of("custom") == ["text", None, None, {"half": "?", "set": [1]}]
