"""The parts that a graph shows: whose text, what is taken back, and that the rest is the result."""

import asyncio
import json
import operator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from pydantic import BaseModel
from typing_extensions import TypedDict

from app.agents.base import FinalResult
from app.agents.langgraph import LangGraphAgent
from app.models.parts import Part
from tests.unit.shown_graphs import (
    Model,
    Shown,
    agent_of,
    asks_for_itself,
    beside,
    calls,
    calls_in_a_thread,
    chain,
    saying,
    shown_by,
    taking_turns,
)

# Whose text


@pytest.mark.parametrize("node", [calls, calls_in_a_thread])
async def test_each_piece_names_its_message_and_its_node(saver: Any, node: Any) -> None:
    agent = LangGraphAgent(chain(speaks=node(saying("one ", "two"))), saver)
    shown = await Shown().collect(agent)
    state = await agent._graph.aget_state({"configurable": {"thread_id": "thread"}})
    named = {(part.message, part.node) for part in shown.parts}
    assert named == {(state.values["messages"][-1].id, "speaks")}
    assert (shown.of("content"), shown.result.text) == (["one ", "two"], "one two")


async def test_all_pieces_have_the_id_that_a_provider_gives_with_the_first() -> None:
    pieces = AIMessageChunk(content="", id="msg_1"), "one ", "two"
    shown = await shown_by(chain(speaks=calls(saying(*pieces))))
    assert {part.message for part in shown.parts} == {"msg_1"}
    assert shown.of("content") == ["one ", "two"]


async def test_branches_and_subgraphs_tell_their_text_apart_while_they_speak_at_once() -> None:
    """Each goes on when the text of the one before is shown."""
    seen = {name: asyncio.Event() for name in ("left", "right", "inner")}
    order = list(seen)

    def model(name: str) -> Model:
        before = order[order.index(name) - 1]
        return saying(f"{name} ", *([] if name == "left" else [seen[before]]), "says", *[seen["inner"]])

    inner = chain(inside=calls(model("inner")))
    agent = agent_of(beside(left=calls(model("left")), right=calls(model("right")), inner=inner))

    def note(part: Part) -> None:
        if part.chunk == "says":
            seen["inner" if part.node == "inside" else str(part.node)].set()

    async with asyncio.timeout(10):
        shown = await Shown().collect(agent, after=note)
    texts: dict[tuple[Any, Any], str] = {}
    for part in shown.parts:
        if part.type == "content":
            texts[part.message, part.node] = texts.get((part.message, part.node), "") + str(part.chunk)
    assert {node: text for (_, node), text in texts.items()} == {
        "left": "left says",
        "right": "right says",
        "inside": "inner says",
    }
    assert len(texts) == 3
    assert shown.left == shown.result.text
    assert shown.result.text in texts.values()


# The answer


async def test_a_summary_of_middleware_is_not_shown() -> None:
    summary = SummarizationMiddleware(model=saying("a ", "summary"), trigger=("messages", 3), keep=("messages", 1))
    agent = agent_of(create_agent(saying("The ", "answer."), tools=[], middleware=[summary]))
    for number in (1, 2, 3):
        shown = await Shown().collect(agent, number)
        assert (shown.of("content"), shown.of("discard"), shown.result.text) == (["The ", "answer."], [], "The answer.")


async def test_a_draft_is_taken_back_when_the_answer_begins() -> None:
    shown = await shown_by(chain(drafts=asks_for_itself(saying("a ", "draft")), writes=calls(saying("the ", "text"))))
    assert [(part.type, part.chunk, part.node) for part in shown.parts] == [
        ("content", "a ", "drafts"),
        ("content", "draft", "drafts"),
        ("discard", False, "drafts"),
        ("content", "the ", "writes"),
        ("content", "text", "writes"),
    ]
    assert shown.parts[2].message == shown.parts[0].message
    assert shown.result.text == "the text"


async def test_a_call_behind_the_answer_is_taken_back_at_the_end() -> None:
    shown = await shown_by(chain(writes=calls(saying("the text")), rates=asks_for_itself(saying("good"))))
    assert shown.result.text == "the text"


async def test_what_is_not_to_be_streamed_is_shown_when_it_comes_into_the_conversation() -> None:
    quiet = saying("a ", "draft").with_config(tags=["nostream"])
    loud = saying("an ", "answer").with_config(tags=["nostream"])
    shown = await shown_by(chain(drafts=asks_for_itself(quiet), writes=calls(loud)))  # type: ignore[arg-type]  # a bound model
    assert shown.of("content") == ["an answer"]


async def test_a_router_with_structured_output_is_not_shown() -> None:
    router = saying('{"next": "writes"}').bind(ls_structured_output_format={"kwargs": {}, "schema": {"title": "Next"}})
    shown = await shown_by(chain(routes=asks_for_itself(router), writes=calls(saying("text"))))  # type: ignore[arg-type]  # a bound model
    assert shown.of("content") == ["text"]


async def test_text_beside_a_tool_call_is_a_step_and_stays_in_the_memory() -> None:
    @tool
    async def look(x: int) -> str:
        """Look."""
        inner = chain(asks=calls(saying("a model inside of a tool")))
        await inner.ainvoke({"messages": [HumanMessage("?")]})
        return "42"

    call = {"name": "look", "args": '{"x": 3}', "id": "", "index": 0}
    model = taking_turns(["Let me look.", AIMessageChunk(content="", tool_call_chunks=[call])], ["It is ", "42."])
    shown = await shown_by(create_agent(model, tools=[look]))
    assert [(part.type, part.chunk) for part in shown.parts] == [
        ("content", "Let me look."),
        ("tool_call", {"id": "", "name": "look", "args": {"x": 3}}),
        ("tool_result", {"id": "", "name": "look", "content": "42", "status": "success"}),
        ("discard", True),
        ("content", "It is "),
        ("content", "42."),
    ]
    step = shown.parts[0].message
    assert [part.message == step for part in shown.parts] == [True, True, False, True, False, False]
    assert shown.result == FinalResult("It is 42.")


async def test_a_call_that_is_tried_again_takes_back_what_it_had_shown() -> None:
    model = taking_turns(
        [AIMessageChunk(content="", additional_kwargs={"reasoning_content": "hm"}), "par", ConnectionError("cut")],
        [ConnectionError("cut again")],
        ["the ", "whole"],
    )
    graph = StateGraph(MessagesState)
    graph.add_node("speaks", calls(model), retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    graph.add_edge(START, "speaks")
    shown = await shown_by(graph.compile())
    assert [(part.type, part.chunk) for part in shown.parts] == [
        ("reasoning", "hm"),
        ("content", "par"),
        ("discard", False),
        ("content", "the "),
        ("content", "whole"),
    ]


async def test_a_node_that_fails_behind_its_call_takes_the_text_back_too() -> None:
    model = saying("the ", "text")
    failures = [ConnectionError("behind the call")]

    async def speaks(state: MessagesState) -> dict[str, Any]:
        message = await model.ainvoke(state["messages"])
        if failures:
            raise failures.pop()
        return {"messages": [message]}

    graph = StateGraph(MessagesState)
    graph.add_node("speaks", speaks, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    graph.add_edge(START, "speaks")
    shown = await shown_by(graph.compile())
    assert shown.of("content") == ["the ", "text"] * 2
    assert shown.result.text == "the text"


async def test_a_model_that_takes_over_from_one_that_failed_is_the_answer() -> None:
    model = saying("par", ConnectionError("cut")).with_fallbacks([saying("the ", "whole")])
    shown = await shown_by(chain(speaks=calls(model)))  # type: ignore[arg-type]  # a bound model
    assert (shown.of("discard"), shown.result.text) == ([False], "the whole")


@pytest.mark.parametrize(
    "written",
    [
        {"role": "assistant", "content": "the text"},
        ("ai", "the text"),
        [("assistant", "the text")],
        [["ai", "the text"]],
        AIMessage("the text"),
        [{"type": "ai", "content": [{"type": "text", "text": "the text"}]}],
    ],
    ids=["dict", "pair", "list of pairs", "list of lists", "message", "blocks"],
)
@pytest.mark.parametrize("streams", [True, False], ids=["of a model", "of the node"])
async def test_messages_in_any_form_are_shown_once(written: Any, streams: bool) -> None:
    """Each is shown once, even if the node has put the model's text into it."""

    async def speaks(state: MessagesState) -> dict[str, Any]:
        if streams:
            await saying("the ", "text").ainvoke(state["messages"])
        return {"messages": written}

    shown = await shown_by(chain(outer=chain(speaks=speaks)))
    assert shown.of("content") == (["the ", "text"] if streams else ["the text"])
    assert {part.node for part in shown.parts} == {"speaks"}
    assert None not in {part.message for part in shown.parts}


async def test_text_that_is_passed_on_as_a_human_message_is_kept() -> None:
    """A supervisor does the same with the reports of its workers."""

    def reports(text: str) -> Any:
        async def node(state: MessagesState) -> dict[str, Any]:
            message = await saying(text).ainvoke(state["messages"])
            return {"messages": [HumanMessage(message.content, name="worker")]}

        return node

    shown = await shown_by(chain(first=reports("one"), second=reports("two")))
    assert [(part.type, part.chunk) for part in shown.parts] == [
        ("content", "one"),
        ("discard", True),
        ("content", "two"),
    ]
    assert shown.result == FinalResult("two")


async def test_text_that_a_node_changes_is_shown_as_the_node_wrote_it() -> None:
    async def speaks(state: MessagesState) -> dict[str, Any]:
        message = await saying("the ", "text").ainvoke(state["messages"])
        return {"messages": [message.model_copy(update={"content": "THE TEXT"})]}

    shown = await shown_by(chain(speaks=speaks))
    assert shown.of("content") == ["the ", "text", "THE TEXT"]


class Kept(TypedDict):
    """A state that keeps its messages as they were written."""

    messages: Annotated[list[Any], operator.add]


async def test_a_state_may_hold_messages_as_dicts_also_for_a_later_attempt() -> None:
    failures = [RuntimeError("not yet")]

    async def first(state: Kept) -> dict[str, Any]:
        call = {"name": "look", "args": {}, "id": "1"}
        return {
            "messages": [{"role": "ai", "content": "one", "tool_calls": [call]}, {"role": "user", "content": "go on"}]
        }

    async def second(state: Kept) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {"messages": [("ai", "two")]}

    graph = StateGraph(Kept)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    agent = agent_of(graph.compile())
    with pytest.raises(RuntimeError):
        await Shown().collect(agent)
    shown = await Shown().collect(agent)
    assert [part.type for part in shown.parts] == ["content", "tool_call", "discard", "content"]
    assert (shown.left, shown.result) == ("two", FinalResult("two"))


async def test_parallel_branches_that_write_dicts_name_their_nodes() -> None:
    def speaks(name: str) -> Any:
        return lambda _: {"messages": {"role": "ai", "content": name}}

    shown = await shown_by(beside(left=speaks("left"), right=speaks("right")))
    assert {(part.node, part.chunk) for part in shown.parts if part.type == "content"} == {
        ("left", "left"),
        ("right", "right"),
    }


# Tools and reasoning


@pytest.mark.parametrize("same", ["", "call_0", None], ids=["empty", "the same", "none"])
async def test_calls_with_the_same_id_are_all_shown(same: str | None) -> None:
    def asks(_: MessagesState) -> dict[str, Any]:
        made: list[Any] = [{"name": name, "args": {}, "id": same} for name in ("one", "two")]
        return {"messages": [AIMessage("", tool_calls=made)]}

    def answers(_: MessagesState) -> dict[str, Any]:
        return {"messages": [ToolMessage(name, tool_call_id=same or "", name=name) for name in ("one", "two")]}

    inner = chain(asks=asks, answers=answers, again=asks, more=answers)
    shown = await shown_by(chain(inner=inner, says=calls(saying("Done."))))
    assert [call["name"] for call in shown.of("tool_call")] == ["one", "two"] * 2
    assert [result["name"] for result in shown.of("tool_result")] == ["one", "two"] * 2


async def test_tool_use_of_earlier_turns_is_not_shown_again_by_a_subgraph() -> None:
    def asks(_: MessagesState) -> dict[str, Any]:
        call = {"name": "one", "args": {}, "id": "call"}
        return {
            "messages": [AIMessage("", tool_calls=[call]), ToolMessage("1", tool_call_id="call"), AIMessage("Fine.")]
        }

    agent = agent_of(chain(inner=chain(asks=asks)))
    for number in (1, 2):
        shown = await Shown().collect(agent, number)
        assert (len(shown.of("tool_call")), len(shown.of("tool_result")), shown.left) == (1, 1, "Fine.")


@pytest.mark.parametrize(
    "pieces",
    [
        [
            {"additional_kwargs": {"reasoning_content": "Two "}},
            {"additional_kwargs": {"reasoning_content": "and two."}},
        ],
        [{"additional_kwargs": {"reasoning": "Two "}}, {"additional_kwargs": {"reasoning": "and two."}}],
        [{"content": [{"type": "reasoning", "reasoning": text}]} for text in ("Two ", "and two.")],
    ],
    ids=["reasoning_content", "reasoning", "blocks"],
)
async def test_reasoning_is_shown_wherever_the_model_puts_it(pieces: list[dict[str, Any]]) -> None:
    said = [AIMessageChunk(**{"content": "", **piece}) for piece in pieces]
    shown = await shown_by(chain(thinks=calls(saying(*said, "Four."))))
    assert ("".join(shown.of("reasoning")), shown.result.text) == ("Two and two.", "Four.")


async def test_a_character_in_two_pieces_is_put_together() -> None:
    shown = await shown_by(chain(speaks=calls(saying("Hi ", "\ud83d", "\ude00", "!"))))
    assert (shown.of("content"), shown.result.text) == (["Hi ", "\U0001f600", "!"], "Hi \U0001f600!")


# Answers that are no text


class Weather(BaseModel):
    """The weather."""

    city: str
    degrees: int


async def test_a_structured_response_is_the_output() -> None:
    call = {"name": "Weather", "args": '{"city": "Oslo", "degrees": 3}', "id": "w", "index": 0}
    model = saying(AIMessageChunk(content="", tool_call_chunks=[call]))
    shown = await shown_by(create_agent(model, tools=[], response_format=ToolStrategy(Weather)))
    assert json.loads(shown.result.output or "") == json.loads(shown.result.text) == {"city": "Oslo", "degrees": 3}


class Answering(MessagesState, total=False):
    """A state with a key for the answer."""

    answer: Any


async def test_an_answer_in_another_key_is_the_output_of_the_run_that_wrote_it() -> None:
    async def answers(state: Answering) -> dict[str, Any]:
        turns = [message for message in state["messages"] if isinstance(message, HumanMessage)]
        return {"answer": {"number": 42, "odd": [float("nan"), b"x", {1}]}} if len(turns) == 1 else {}

    agent = agent_of(chain(Answering, answers=answers))
    shown = await Shown().collect(agent)
    assert json.loads(shown.result.output or "") == {"answer": {"number": 42, "odd": [None, "x", [1]]}}
    assert shown.left == shown.result.text == shown.result.output
    shown = await Shown().collect(agent, 2)
    assert (shown.result.output, shown.result.text, shown.left) == ("{}", "{}", "{}")


async def test_text_of_a_model_is_the_answer_also_in_another_key() -> None:
    async def answers(state: Answering) -> dict[str, Any]:
        return {"answer": (await saying("forty-", "two").ainvoke(state["messages"])).text}

    shown = await shown_by(chain(Answering, answers=answers))
    assert (shown.result.text, shown.of("content")) == ("forty-two", ["forty-", "two"])


async def test_a_message_that_is_said_again_is_the_answer_again() -> None:
    greeting = AIMessage("Hello, I am the bot.")
    agent = agent_of(chain(greets=lambda _: {"messages": [greeting]}))
    for number in (1, 2, 3):
        shown = await Shown().collect(agent, number)
        assert (shown.left, shown.result) == (greeting.text, FinalResult(greeting.text))


async def test_a_conversation_that_is_rewritten_says_nothing_again() -> None:
    async def rewrites(state: MessagesState) -> dict[str, Any]:
        return {"messages": [RemoveMessage("__remove_all__"), *state["messages"]]}

    agent = agent_of(chain(rewrites=rewrites, speaks=calls(taking_turns(["one"], [""]))))
    assert (await Shown().collect(agent)).result.text == "one"
    shown = await Shown().collect(agent, 2)
    assert (shown.of("content"), shown.result.text) == ([], "")


def removes_last(state: MessagesState) -> dict[str, Any]:
    return {"messages": [RemoveMessage(state["messages"][-1].id or "")]}


def removes_all(_: MessagesState) -> dict[str, Any]:
    return {"messages": [RemoveMessage("__remove_all__")]}


def removes_all_with_a_note(state: MessagesState) -> dict[str, Any]:
    return {"messages": [RemoveMessage("__remove_all__"), state["messages"][0], HumanMessage("a note")]}


def writes(_: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("rude words")]}


@pytest.mark.parametrize("guard", [removes_last, removes_all, removes_all_with_a_note])
@pytest.mark.parametrize("speaks", [calls(saying("rude ", "words")), writes, chain(inner=calls(saying("rude words")))])
async def test_text_that_is_removed_from_the_conversation_is_not_the_answer(speaks: Any, guard: Any) -> None:
    shown = await shown_by(chain(speaks=speaks, guard=guard))
    assert "".join(shown.of("content")).startswith("rude words")
    assert "rude" not in shown.result.text
    assert shown.of("discard") == [False]


async def test_an_answer_that_outlives_the_rest_of_its_conversation_is_the_answer() -> None:
    async def compacts(state: MessagesState) -> dict[str, Any]:
        return {"messages": [RemoveMessage("__remove_all__"), HumanMessage("a note"), state["messages"][-1]]}

    shown = await shown_by(chain(speaks=calls(saying("the ", "answer")), compacts=compacts))
    assert (shown.result, shown.of("content")) == (FinalResult("the answer"), ["the ", "answer"])


@pytest.mark.parametrize("beside", ["", "I look."])
async def test_what_a_tool_returns_last_is_the_answer(beside: str) -> None:
    @tool(return_direct=True)
    def look() -> str:
        """Look."""
        return "forty-two"

    call = {"name": "look", "args": "{}", "id": "l", "index": 0}
    model = saying(AIMessageChunk(content=beside, tool_call_chunks=[call]))
    shown = await shown_by(create_agent(model, tools=[look]))
    assert shown.result == FinalResult("forty-two")
    assert shown.parts[-1].node == "tools"
    assert shown.of("discard") == ([True] if beside else [])


async def test_an_empty_answer_of_a_model_has_its_messages_as_the_output() -> None:
    shown = await shown_by(chain(speaks=calls(saying(""))))
    (message,) = json.loads(shown.result.output or "")["messages"]
    assert (shown.parts, shown.result.text) == ([], "")
    assert (message["type"], message["content"]) == ("ai", "")
