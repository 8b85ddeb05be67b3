"""The memory of a conversation grows with its messages: each is stored once, and steps of ended turns are deleted."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any

import psycopg
import pytest
import redis
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

from app.agents.base import AgentInterrupted, AgentTask, Conversation, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.agents.thread_states import GraphStates
from app.checkpoints.factory import open_saver
from app.errors import LeaseLost
from app.models.attempts import Lease
from app.models.messages import DEFAULT_TENANT
from app.models.thread_states import StateChange
from app.models.threads import MemoryRight

KEY = "default/thread/t"
COPY = "default/thread/copy"
QUEUE = "this queue"
HISTORY = 3

Saver = Any
"""A saver that is also an AgentMemory."""


@pytest.fixture
async def short(memory_url: str) -> AsyncIterator[Saver]:
    """A memory that keeps a state of HISTORY ended turns."""
    async with open_saver(memory_url, QUEUE, history=HISTORY) as opened:
        yield opened


def answer(state: Any) -> dict[str, Any]:
    return {"messages": [AIMessage(f"answer to {state['messages'][-1].content}")]}


def graph(*nodes: Callable[[Any], Any], state: Any = MessagesState) -> Any:
    """These nodes, one after the other."""
    builder: Any = StateGraph(state)
    names = [f"node{number}" for number, _ in enumerate(nodes)]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    return builder.compile()


async def turn(saver: Saver, number: int, compiled: Any = None, fence: int = 1, **given: Any) -> str:
    """Run message `number` of the thread, and return its answer."""
    task = AgentTask(
        lease=Lease(f"m{number}", fence, 1, "worker"),
        content=f"question {number}",
        memory_key=KEY,
        memory_fence=(number, fence),
        drain=Drain(),
        **given,
    )
    async with aclosing(LangGraphAgent(compiled or graph(answer), saver).run(task)) as parts:
        async for part in parts:
            if isinstance(part, FinalResult):
                return part.text
    raise AssertionError("no result")


def place(key: str = KEY, namespace: str | None = "") -> RunnableConfig:
    found: dict[str, Any] = {"thread_id": key}
    return {"configurable": found if namespace is None else {**found, "checkpoint_ns": namespace}}


async def texts(saver: Saver, key: str = KEY) -> list[str]:
    """The texts of the conversation as a process reads them that knows nothing of it."""
    saver.drop_cached(key)
    found = await saver.aget_tuple(place(key))
    return [] if found is None else [each.content for each in found.checkpoint["channel_values"]["messages"]]


def expected(*numbers: int) -> list[str]:
    return [text for number in numbers for text in (f"question {number}", f"answer to question {number}")]


async def listed(saver: Saver, key: str = KEY, namespace: str | None = "") -> list[Any]:
    return [found async for found in saver.alist(place(key, namespace))]


def stored_messages(url: str) -> int:
    """How many messages are stored, of all conversations."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            found = file.execute("SELECT count(*) FROM messages").fetchone()[0]
        file.close()
        return int(found)
    if url.startswith("postgres"):
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM agent_queue_memory.checkpoint_messages").fetchone()
        assert row is not None
        return int(row[0])
    with redis.Redis.from_url(url) as client:
        keys: Any = client.keys("*:rows:*")
        return sum(name.startswith(b"m") for key in keys for name in client.hkeys(key))


async def test_each_message_is_stored_once(short: Saver, memory_url: str) -> None:
    for number in range(1, 9):
        assert await turn(short, number) == f"answer to question {number}"
    assert stored_messages(memory_url) == 16
    assert await texts(short) == expected(*range(1, 9))


async def test_ended_turns_keep_their_last_state_up_to_the_number_that_is_set(short: Saver) -> None:
    for number in range(1, 9):
        await turn(short, number)
    found = await listed(short)
    runs = [each.metadata["run_id"] for each in found]
    assert list(dict.fromkeys(runs)) == ["m8", "m7", "m6", "m5"]
    assert runs.count("m7") == runs.count("m6") == runs.count("m5") == 1
    last = {each.metadata["run_id"]: each for each in reversed(found)}
    for number in (5, 6, 7):
        values = last[f"m{number}"].checkpoint["channel_values"]["messages"]
        assert [each.content for each in values] == expected(*range(1, number + 1))
    parents = [each.parent_config and each.parent_config["configurable"]["checkpoint_id"] for each in found]
    assert parents == [*(each.checkpoint["id"] for each in found[1:]), None]


async def test_a_short_conversation_keeps_its_steps_and_a_longer_one_is_pruned(memory_url: str) -> None:
    async with open_saver(memory_url, QUEUE, history=4) as saver:
        counts = []
        for number in range(1, 10):
            await turn(saver, number)
            counts.append(len(await listed(saver)))
    assert counts == [3, 6, 9, 6, 9, 7, 10, 7, 10]  # a turn that makes it nine prunes


async def test_a_process_that_knows_nothing_goes_on(memory_url: str) -> None:
    for number in range(1, 6):
        async with open_saver(memory_url, QUEUE, history=HISTORY) as saver:
            await turn(saver, number)
    async with open_saver(memory_url, QUEUE) as saver:
        assert await texts(saver) == expected(*range(1, 6))
    assert stored_messages(memory_url) == 10


async def test_two_processes_take_turns(memory_url: str) -> None:
    """Each has the messages of its own turns, and reads those of the other."""
    async with open_saver(memory_url, QUEUE, history=2) as one, open_saver(memory_url, QUEUE, history=2) as other:
        for number in range(1, 11):
            await turn((one, other)[number % 2], number)
        assert await texts(one) == await texts(other) == expected(*range(1, 11))
    assert stored_messages(memory_url) == 20


async def test_numbers_are_never_used_again_after_a_rollback(memory_url: str) -> None:
    """Else the other process would show the messages that were rolled back."""
    async with open_saver(memory_url, QUEUE, history=5) as one, open_saver(memory_url, QUEUE, history=5) as other:
        for number in (1, 2, 3):
            await turn(one, number)
        await turn(other, 4)
        await one.forget_messages(KEY, (5, 1), ["m3", "m4"])
        await turn(one, 6)
        assert await turn(other, 7) == "answer to question 7"
        assert await texts(other) == await texts(one) == expected(1, 2, 6, 7)
    assert stored_messages(memory_url) == 8


async def test_a_deleted_conversation_that_begins_again_has_none_of_its_messages(memory_url: str) -> None:
    async with open_saver(memory_url, QUEUE) as one, open_saver(memory_url, QUEUE) as other:
        await turn(one, 1)
        await turn(other, 2)
        await one.forget([KEY])
        assert stored_messages(memory_url) == 0
        await turn(one, 3)
        await turn(one, 4)
        await turn(other, 5)
        assert await texts(one) == expected(3, 4, 5)


@pytest.mark.parametrize("number", [1, 2])
async def test_a_run_whose_conversation_was_deleted_stores_nothing_more(memory_url: str, number: int) -> None:
    """Its worker has lost the lease and does not know it yet."""
    async with open_saver(memory_url, QUEUE) as one, open_saver(memory_url, QUEUE) as other:

        async def delete(_: MessagesState) -> dict[str, Any]:
            await other.forget([KEY])
            return {}

        inner = graph(answer)
        for each in range(1, number):
            await turn(one, each)
        for compiled in (graph(delete, answer), graph(graph(delete, inner))):
            with pytest.raises(LeaseLost):
                await turn(one, number, compiled)
            assert await listed(other, namespace=None) == []
            assert stored_messages(memory_url) == 0


async def test_a_change_of_a_state_whose_conversation_was_deleted_stores_nothing(
    short: Saver, memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = graph(answer)
    await turn(short, 1, compiled)
    kind = type(compiled)
    update = kind.aupdate_state

    async def delete_and_update(*given: Any) -> RunnableConfig:
        await short.forget([KEY])
        changed: RunnableConfig = await update(*given)
        return changed

    monkeypatch.setattr(kind, "aupdate_state", delete_and_update)
    states = GraphStates(
        compiled.copy(update={"checkpointer": short}), Conversation(DEFAULT_TENANT, "agent", KEY, "t"), str
    )

    async def confirm() -> None:
        """The thread exists."""

    with pytest.raises(LeaseLost):
        await states.update(StateChange({"messages": []}, "node0"), MemoryRight((1, 2)), confirm)
    assert await listed(short, namespace=None) == []
    assert stored_messages(memory_url) == 0


async def test_turns_are_rolled_back_after_others_were_pruned(short: Saver, memory_url: str) -> None:
    for number in range(1, 11):
        await turn(short, number)
    await turn(short, 11, rollback=("m9", "m10"))
    assert await texts(short) == expected(*range(1, 9), 11)
    assert stored_messages(memory_url) == 18


async def test_a_failed_attempt_leaves_nothing_that_it_changed_in_place(short: Saver) -> None:
    def change(state: MessagesState) -> dict[str, Any]:
        for message in state["messages"][:-1]:
            message.content = "changed"
        raise ValueError("failed")

    for number in (1, 2):
        await turn(short, number)
    with pytest.raises(ValueError, match="failed"):
        await turn(short, 3, graph(change))
    assert await turn(short, 4) == "answer to question 4"
    assert await texts(short) == [*expected(1, 2), "question 3", *expected(4)]


async def test_the_newest_messages_may_be_changed_in_place(short: Saver) -> None:
    def change(state: MessagesState) -> dict[str, Any]:
        changed: Any = state["messages"][-2]
        changed.content += ", really"
        return {}

    await turn(short, 1)
    await turn(short, 2, graph(change, answer))
    assert await texts(short) == ["question 1", "answer to question 1, really", *expected(2)]


async def test_messages_are_replaced_and_removed(short: Saver, memory_url: str) -> None:
    def rewrite(state: MessagesState) -> dict[str, Any]:
        first, second = state["messages"][:2]
        return {"messages": [HumanMessage("replaced", id=first.id), RemoveMessage(id=second.id or "")]}

    for number in (1, 2):
        await turn(short, number)
    await turn(short, 3, graph(rewrite, answer))
    assert await texts(short) == ["replaced", *expected(2, 3)]
    for number in range(4, 9):
        await turn(short, number)
    assert await texts(short) == ["replaced", *expected(*range(2, 9))]
    assert stored_messages(memory_url) == 15


async def test_an_interrupted_turn_goes_on_after_its_subgraph_has_asked(short: Saver) -> None:
    def ask(_: MessagesState) -> dict[str, Any]:
        return {"messages": [ToolMessage(interrupt("Sure?"), tool_call_id="call")]}

    inner = graph(answer, ask)
    compiled = graph(answer, inner)
    for number in range(1, 6):
        await turn(short, number)
    with pytest.raises(AgentInterrupted) as asked:
        await turn(short, 6, compiled)
    question = asked.value.interrupts.split('"id": "')[1].split('"')[0]
    await turn(short, 6, compiled, fence=2, resume={question: "yes"})
    assert (await texts(short))[-4:] == [
        "question 6", "answer to question 6", "answer to answer to question 6", "yes"
    ]  # fmt: skip
    assert len({each.config["configurable"]["checkpoint_ns"] for each in await listed(short, namespace=None)}) == 2
    await turn(short, 7)
    assert {each.config["configurable"]["checkpoint_ns"] for each in await listed(short, namespace=None)} == {""}


async def test_an_interrupted_turn_keeps_its_question_behind_newer_turns(short: Saver) -> None:
    def ask(_: MessagesState) -> dict[str, Any]:
        interrupt("Sure?")
        return {}

    with pytest.raises(AgentInterrupted):
        await turn(short, 1, graph(ask))
    for number in (2, 3, 4):
        await turn(short, number)
    (asked,) = [each for each in await listed(short) if each.metadata["run_id"] == "m1"]
    assert [write[1] for write in asked.pending_writes] == ["__interrupt__"]


def add_all(state: list[Any], writes: list[Any]) -> list[Any]:
    for write in writes:
        state = add_messages(state, write)  # type: ignore[assignment]  # two lists give a list
    return state


class Deltas(TypedDict):
    """A state whose messages are built from the writes of all earlier steps."""

    messages: Annotated[list[AnyMessage], DeltaChannel(add_all)]


async def test_a_channel_that_is_built_from_earlier_steps_keeps_them_all(short: Saver) -> None:
    compiled = graph(answer, state=Deltas)
    for number in range(1, 9):
        await turn(short, number, compiled)
    state = await compiled.copy(update={"checkpointer": short}).aget_state(place())
    assert [each.content for each in state.values["messages"]] == expected(*range(1, 9))


async def test_a_list_becomes_a_channel_that_is_built_from_earlier_steps(short: Saver) -> None:
    for number in (1, 2):
        await turn(short, number)
    compiled = graph(answer, state=Deltas)
    for number in (3, 4):
        await turn(short, number, compiled)
    state = await compiled.copy(update={"checkpointer": short}).aget_state(place())
    assert [each.content for each in state.values["messages"]] == expected(1, 2, 3, 4)


# Copies


async def test_a_copy_has_the_conversation_up_to_a_checkpoint(short: Saver, memory_url: str) -> None:
    for number in range(1, 5):
        await turn(short, number)
    found = await listed(short)
    (checkpoint,) = [each for each in found if each.metadata["run_id"] == "m2"]
    assert await short.copy_until(KEY, checkpoint.checkpoint["id"], COPY)
    assert await texts(short, COPY) == expected(1, 2)
    assert stored_messages(memory_url) == 12
    copied = await listed(short, COPY)
    assert [each.checkpoint["id"] for each in copied] == [
        each.checkpoint["id"] for each in found if each.metadata["run_id"] in ("m1", "m2")
    ]
    assert await texts(short) == expected(1, 2, 3, 4)


async def test_a_copy_and_its_source_do_not_change_each_other(short: Saver, memory_url: str) -> None:
    for number in (1, 2):
        await turn(short, number)
    newest = (await listed(short))[0].checkpoint["id"]
    assert await short.copy_until(KEY, newest, COPY)
    await turn(short, 3)
    await short.forget([KEY])
    assert await texts(short, COPY) == expected(1, 2)
    assert stored_messages(memory_url) == 4
    await short.forget([COPY])
    assert stored_messages(memory_url) == 0


async def test_a_copy_leaves_out_what_tasks_wrote_after_its_checkpoint(short: Saver) -> None:
    def fail(_: MessagesState) -> dict[str, Any]:
        raise ValueError("failed")

    await turn(short, 1)
    with pytest.raises(ValueError, match="failed"):
        await turn(short, 2, graph(fail))
    newest = (await listed(short))[0]
    assert newest.pending_writes
    assert await short.copy_until(KEY, newest.checkpoint["id"], COPY)
    assert (await short.aget_tuple(place(COPY))).pending_writes == []
    assert len((await short.aget_tuple(place())).pending_writes) == len(newest.pending_writes)


async def test_a_copy_replaces_what_was_there_and_an_unknown_checkpoint_changes_nothing(
    short: Saver, memory_url: str
) -> None:
    await turn(short, 1)
    newest = (await listed(short))[0].checkpoint["id"]
    for _ in range(2):
        assert await short.copy_until(KEY, newest, COPY)
    assert await texts(short, COPY) == expected(1)
    assert stored_messages(memory_url) == 4
    unknown = "1efd0000-0000-6000-8000-000000000000"
    assert not await short.copy_until(KEY, unknown, COPY)
    assert not await short.copy_until("default/thread/unknown", newest, COPY)
    assert await texts(short, COPY) == expected(1)


async def test_a_copy_has_other_values_too(short: Saver) -> None:
    class State(MessagesState):
        notes: list[str]

    compiled = graph(lambda state: {"notes": [*state.get("notes", []), "note"]}, answer, state=State)
    for number in range(1, 6):
        await turn(short, number, compiled)
    newest = (await listed(short))[0].checkpoint["id"]
    assert await short.copy_until(KEY, newest, COPY)
    found = await short.aget_tuple(place(COPY))
    assert found.checkpoint["channel_values"]["notes"] == ["note"] * 5


def test_the_savers_are_langgraphs(short: Saver) -> None:
    assert isinstance(short, BaseCheckpointSaver)
