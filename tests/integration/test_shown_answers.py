"""Answers as readers of a stream see them, and the status in the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import wire
from tests.servers import ServerProcess, server_process

AGENTS = """
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from pydantic import BaseModel
from typing import Any


class Model(BaseChatModel):
    turns: list[Any]

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, *args, **kwargs):
        raise NotImplementedError

    async def _astream(self, messages, *args, **kwargs):
        for piece in self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]:
            if isinstance(piece, Exception):
                raise piece
            message = AIMessageChunk(content=piece) if isinstance(piece, str) else piece
            yield ChatGenerationChunk(message=message)


def call(name, args):
    return AIMessageChunk(content="", tool_call_chunks=[{"name": name, "args": args, "id": "1", "index": 0}])


class Weather(BaseModel):
    "The weather."
    city: str
    degrees: float


@tool
async def look(city: str) -> str:
    "Look."
    get_stream_writer()({"looking at": city, "odd": float("nan")})
    return "3"


structured = create_agent(
    Model(turns=[[call("Weather", '{"city": "Oslo", "degrees": 3}')]]), tools=[], response_format=ToolStrategy(Weather)
)
TURNS = [["Let me ", "look.", call("look", '{"city": "Oslo"}')], ["It is ", "3."]]
tools = create_agent(Model(turns=TURNS), tools=[look])


def calls(model):
    async def node(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


flaky = StateGraph(MessagesState)
flaky.add_node(
    "speaks",
    calls(Model(turns=[["par", ConnectionError("cut")], ["the ", "whole"]])),
    retry_policy=RetryPolicy(initial_interval=0.01),
)
flaky.add_edge(START, "speaks")
flaky = flaky.compile()


class Answering(MessagesState):
    answer: dict


other = StateGraph(Answering)
other.add_node("answers", lambda state: {"answer": {"number": 42}})
other.add_edge(START, "answers")
other = other.compile()
"""
NAMES = ("structured", "tools", "flaky", "other")


class Asked:
    """Return a message's events and its status."""

    def __init__(self, frames: list[wire.Frame], status: dict[str, Any], listed: dict[str, Any]) -> None:
        self.frames = frames
        self.status = status
        self.done = frames[-1].data
        self.chunks = [frame.data for frame in frames if frame.event == "chunk"]
        assert frames[-1].event == "done", frames
        assert wire.text_of(frames) == self.done["result"] == status["result"] == listed["result"]
        assert self.done.get("output") == status["output"] == listed["output"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A process that serves all agents."""
    folder: Path = tmp_path_factory.mktemp("shown")
    (folder / "shown_graphs.py").write_text(AGENTS)
    with server_process(folder, AGENTS=",".join(f"{name}=shown_graphs:{name}" for name in NAMES)) as process:
        yield process


async def ask(server: ServerProcess, agent: str) -> Asked:
    """Have a message answered and read all that is told of it."""
    await server.ready()
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        body = {"message": "?", "agent": agent, "thread_id": agent, "events": ["custom"]}
        message_id = (await client.post("/messages", json=body)).json()["message_id"]
        frames = await wire.frames_of(server.url, message_id)
        status = (await client.get(f"/messages/{message_id}/status")).json()
        (listed,) = (await client.get(f"/threads/{agent}/messages")).json()["messages"]
        return Asked(frames, status, listed)


async def test_a_structured_response_is_told_as_the_output(server: ServerProcess) -> None:
    asked = await ask(server, "structured")
    assert asked.done["output"] == {"city": "Oslo", "degrees": 3.0}
    assert asked.done["result"] == '{"city": "Oslo", "degrees": 3.0}'


async def test_what_was_written_to_another_key_is_told_as_the_output(server: ServerProcess) -> None:
    assert (await ask(server, "other")).status["output"] == {"answer": {"number": 42}}


async def test_a_step_on_the_way_is_taken_back_and_kept(server: ServerProcess) -> None:
    asked = await ask(server, "tools")
    chunks = asked.chunks
    (custom,) = [frame.data for frame in asked.frames if frame.event == "custom"]
    assert custom == {"data": {"looking at": "Oslo", "odd": None}}
    (discard,) = [chunk for chunk in chunks if chunk["type"] == "discard"]
    assert (discard["message"], discard["node"], discard["kept"]) == (chunks[0]["message"], "model", True)
    assert discard["discard_from"] == next(frame.id for frame in asked.frames if frame.event == "chunk")
    assert (asked.done["result"], "output" in asked.done) == ("It is 3.", False)


async def test_a_call_that_was_tried_again_is_taken_back(server: ServerProcess) -> None:
    asked = await ask(server, "flaky")
    (discard,) = [chunk for chunk in asked.chunks if chunk["type"] == "discard"]
    assert (discard["kept"], discard["chunk"], asked.done["result"]) == (False, "", "the whole")
