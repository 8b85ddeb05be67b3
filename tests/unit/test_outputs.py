"""The output of a run, and its form."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from app.agents.base import AgentTask, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.errors import OutputTooLarge
from app.models.attempts import Lease
from app.models.inputs import RunInput


def graph_of(state: Any, node: Any, **given: Any) -> Any:
    graph: Any = StateGraph(state, **given)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


async def result_of(graph: Any, max_output_bytes: int = 1_000_000, **given: Any) -> FinalResult:
    task = AgentTask(
        lease=Lease("message 1", 1, 1, "worker"),
        content="Hello",
        memory_key="default/thread/t",
        memory_fence=(1, 1),
        drain=Drain(),
        given=RunInput(**given),
        max_output_bytes=max_output_bytes,
    )
    parts = [part async for part in LangGraphAgent(graph, InMemorySaver()).run(task)]
    result = parts[-1]
    assert isinstance(result, FinalResult)
    text = "".join(str(part.chunk) for part in parts[:-1] if not isinstance(part, FinalResult))
    assert text == result.text, "what is shown is the result"
    return result


def output_of(result: FinalResult) -> Any:
    return None if result.output is None else json.loads(result.output)


class City(BaseModel):
    """A model."""

    name: str
    seen: datetime


@dataclass
class Trip:
    """A data class."""

    cities: list[City] = field(default_factory=list)


SEEN = datetime(2026, 1, 2, tzinfo=UTC)


class Travel(MessagesState, total=False):
    """A state with more than messages."""

    trip: Trip
    notes: list[AnyMessage]


async def travels(_: Travel) -> dict[str, Any]:
    """Write values of classes, and no message."""
    return {"trip": Trip([City(name="Os\u00e9", seen=SEEN)]), "notes": [HumanMessage("Fine.", id="n")]}


async def tells(_: Travel) -> dict[str, Any]:
    """Write a value beside a message."""
    return {"trip": Trip(), "messages": [AIMessage("Done.")]}


async def test_classes_times_and_messages_are_json() -> None:
    output = output_of(await result_of(graph_of(Travel, travels)))
    assert output["trip"] == {"cities": [{"name": "Os\u00e9", "seen": "2026-01-02T00:00:00Z"}]}
    (note,) = output["notes"]
    assert (note["type"], note["content"], note["id"]) == ("human", "Fine.", "n")


async def test_a_run_with_a_text_has_what_it_wrote_beside_it() -> None:
    result = await result_of(graph_of(Travel, tells))
    assert (result.text, output_of(result)) == ("Done.", {"trip": {"cities": []}})


async def test_messages_alone_are_no_output_beside_a_text() -> None:
    result = await result_of(graph_of(MessagesState, lambda _: {"messages": [AIMessage("Done.")]}))
    assert result == FinalResult("Done.")


async def test_the_output_schema_chooses_the_keys() -> None:
    class Told(TypedDict):
        trip: Trip

    assert set(output_of(await result_of(graph_of(Travel, travels, output_schema=Told)))) == {"trip"}


class Form(BaseModel):
    """A state that is a model."""

    question: str
    answer: str | None = None


@dataclass
class Sheet:
    """A state that is a data class."""

    question: str
    answer: str | None = None


@pytest.mark.parametrize("state", [Form, Sheet])
async def test_states_of_classes_are_outputs(state: type[Any]) -> None:
    graph = graph_of(state, lambda given: {"answer": given.question.upper()})
    result = await result_of(graph, input={"question": "why"})
    assert output_of(result) == {"question": "why", "answer": "WHY"}


RETURNED: dict[str, tuple[Any, str | None, Any]] = {
    "text": ("Hi", "Hi", None),
    "message": (AIMessage("Hi", id="a"), "Hi", None),
    "messages": ([HumanMessage("?", id="h"), AIMessage("Hi", id="a")], "Hi", None),
    "messages in an object": ({"messages": [AIMessage("Hi", id="a")], "score": 3}, "Hi", {"score": 3}),
    "object": ({"score": 3}, '{"score": 3}', {"score": 3}),
    "model": (City(name="Oslo", seen=SEEN), None, {"name": "Oslo", "seen": "2026-01-02T00:00:00Z"}),
    "number": (3, "3", 3),
    "false": (False, "false", False),
    "list": ([1, "a"], '[1, "a"]', [1, "a"]),
    "nothing": (None, "{}", {}),
    "empty text": ("", "{}", {}),
}


@pytest.mark.parametrize("case", RETURNED)
async def test_an_entrypoint_returns_its_answer_or_its_output(case: str) -> None:
    returned, text, output = RETURNED[case]

    @entrypoint()
    async def answers(given: Any) -> Any:
        return returned

    result = await result_of(answers)
    assert (result.text, output_of(result)) == (text or json.dumps(output), output)


async def test_a_large_output_is_refused_with_both_sizes() -> None:
    graph = graph_of(Form, lambda _: {"answer": "\u00e9" * 100})
    assert (await result_of(graph, 300, input={"question": "?"})).output is not None
    with pytest.raises(OutputTooLarge, match=r"takes 23\d bytes, and MAX_OUTPUT_BYTES allows 200"):
        await result_of(graph, 200, input={"question": "?"})
