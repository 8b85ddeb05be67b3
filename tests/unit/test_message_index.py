"""The index of a conversation's messages gives what LangGraph's own reducer and handler give, without their walks."""

import copy
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
)
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.pregel._messages import StreamMessagesHandler
from typing_extensions import TypedDict

from app.agents.message_index import CHECKED, INDEX, MessageIndex, MessageIndexes, with_index
from app.agents.streamed_messages import note_only_new_messages


class Uncomparable:
    """Content such as an array: to compare it raises an error."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]  # as of arrays


IDS = st.integers(0, 30).map(str)
CONTENT = st.text("ab", max_size=2)
NEW = st.one_of(
    st.builds(HumanMessage, CONTENT, id=st.one_of(st.none(), IDS)),
    st.builds(AIMessage, CONTENT, id=st.one_of(st.none(), IDS)),
    st.builds(AIMessageChunk, CONTENT, id=IDS),
    st.builds(lambda message_id: RemoveMessage(id=message_id), IDS),
    st.just(RemoveMessage(id=REMOVE_ALL_MESSAGES)),
    st.builds(lambda content: {"role": "user", "content": content, "id": "of a dict"}, CONTENT),
)


def merged(reducer: Any, left: Any, right: Any) -> Any:
    """Return what a reducer returns, or the error that it raises."""
    try:
        return reducer(left, right)
    except ValueError as error:
        return str(error)


def named(messages: Any) -> Any:
    """Messages with new random ids given the same names, so that they compare."""
    if isinstance(messages, str):
        return messages
    return [(type(each), each.content, each.id if len(each.id or "") < 20 else "new") for each in messages]


class Merges(RuleBasedStateMachine):
    """One index follows a list that nodes change in all ways that they may, beside LangGraph's reducer."""

    def __init__(self) -> None:
        super().__init__()
        self.index = MessageIndex()
        self.messages: list[AnyMessage] = []

    @rule(right=st.lists(NEW, max_size=4), applied=st.booleans())
    def merge(self, right: list[Any], applied: bool) -> None:
        expected = merged(add_messages, list(self.messages), copy.deepcopy(right))
        found = merged(self.index.merge, self.messages, right)
        assert named(found) == named(expected)
        if applied and not isinstance(found, str):  # a conditional edge only looks at it
            assert found is not self.messages
            self.messages = found

    @rule(content=CONTENT)
    def append_without_an_id(self, content: str) -> None:
        self.messages = self.index.merge(self.messages, AIMessage(content))

    @rule(at=st.integers(0, 100), message=st.builds(HumanMessage, CONTENT, id=IDS))
    def replace_in_place(self, at: int, message: HumanMessage) -> None:
        if self.messages and message.id not in {each.id for each in self.messages}:
            self.messages[at % len(self.messages)] = message

    @rule(back=st.integers(1, CHECKED), message_id=IDS)
    def change_the_id_of_a_new_one_in_place(self, back: int, message_id: str) -> None:
        if len(self.messages) >= back and message_id not in {each.id for each in self.messages}:
            self.messages[-back].id = message_id

    @rule(size=st.integers(0, 100))
    def trim(self, size: int) -> None:
        self.messages = self.messages[:size] if size % 2 else self.messages[size % 5 :]

    @rule(start=st.integers(0, 100))
    def ask_for_ids(self, start: int) -> None:
        part = self.messages[: start % (len(self.messages) + 1)]
        found = self.index.ids(part)
        ids = [each.id for each in part]
        if len(set(ids)) == len(ids) and not any(isinstance(each, RemoveMessage) for each in part):
            assert found == {each.id: at for at, each in enumerate(part)}

    @rule()
    def read_again(self) -> None:
        self.messages = copy.deepcopy(self.messages)


TestMerges = Merges.TestCase
TestMerges.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_list_with_content_that_cannot_be_compared_is_merged() -> None:
    index = MessageIndex()
    first, second, third = (AIMessage("a", id=each, additional_kwargs={"array": Uncomparable()}) for each in "123")
    found = index.merge([first, second, third], [])
    assert [each.id for each in index.merge(found, AIMessage("b", id="4"))] == ["1", "2", "3", "4"]
    other = AIMessage("a", id="5", additional_kwargs={"array": Uncomparable()})
    assert [each.id for each in index.merge([first, other, third], AIMessage("b", id="2"))] == ["1", "5", "3", "2"]


def test_a_new_message_of_a_long_list_walks_nothing() -> None:
    looks: list[str] = []

    class Counted(HumanMessage):
        def __getattribute__(self, name: str) -> Any:
            if name == "id":
                looks.append(name)
            return super().__getattribute__(name)

    index = MessageIndex()
    messages: list[Any] = [Counted(content="a", id=str(number)) for number in range(1000)]
    messages = index.merge(messages, [])
    looks.clear()
    for number in range(1000, 1010):
        messages = index.merge(index.merge(messages, []), Counted(content="b", id=str(number)))
    assert len(messages) == 1010
    assert len(looks) < 10 * 100


def test_a_channel_with_another_reducer_stays_as_it_is() -> None:
    class State(TypedDict):
        messages: Annotated[list[Any], add_messages(format="langchain-openai")]

    class Plain(TypedDict):
        messages: list[Any]

    for state in (State, Plain):
        builder: Any = StateGraph(state)
        builder.add_node("node", lambda _: {})
        builder.add_edge(START, "node")
        channels = builder.compile().channels
        assert with_index(channels, "messages") is channels
    builder = StateGraph(MessagesState)
    builder.add_node("node", lambda _: {})
    builder.add_edge(START, "node")
    channels = builder.compile().channels
    found: Any = with_index(channels, "messages")["messages"]
    assert isinstance(found, BinaryOperatorAggregate)
    assert found.operator is not add_messages
    assert channels["messages"].operator is add_messages


def test_indexes_of_conversations_that_ran_last_are_kept() -> None:
    indexes = MessageIndexes(max_messages=5)
    for key, size in (("a", 2), ("b", 3), ("c", 2)):
        index = indexes.take(key)
        with indexes.used(key, index):
            assert INDEX.get() is index
            index.merge([], [HumanMessage("a", id=str(number)) for number in range(size)])
        assert INDEX.get() is None
    assert [len(indexes.take(key)) for key in "abc"] == [0, 3, 2]


def test_the_index_of_a_failed_run_is_forgotten() -> None:
    indexes = MessageIndexes()
    index = indexes.take("a")
    index.merge([], [HumanMessage("a", id="1")])
    with pytest.raises(ZeroDivisionError), indexes.used("a", index):
        _ = 1 / 0
    assert INDEX.get() is None
    assert len(indexes.take("a")) == 0


@pytest.fixture
def handler() -> Iterator[StreamMessagesHandler]:
    """LangGraph's handler with our change, which notes what the nodes of a run are given."""
    note_only_new_messages()
    note_only_new_messages()
    yield StreamMessagesHandler(lambda _: None, subgraphs=True)
    INDEX.set(None)


def start(handler: StreamMessagesHandler, inputs: Any, node: str = "node", name: str = "node") -> None:
    metadata = {"langgraph_node": node, "langgraph_checkpoint_ns": f"{node}:1"}
    handler.on_chain_start({}, inputs, run_id=uuid4(), metadata=metadata, name=name)


@pytest.mark.parametrize("indexed", [False, True])
def test_the_handler_notes_each_message_that_a_node_is_given(handler: StreamMessagesHandler, indexed: bool) -> None:
    index = MessageIndex()
    INDEX.set(index if indexed else None)
    messages: list[Any] = [HumanMessage("a", id=str(number)) for number in range(20)]
    messages = index.merge(messages, [])
    start(handler, {"messages": messages, "other": "text"})
    assert handler.seen == {str(number) for number in range(20)}
    messages[-1].id = "changed in place"
    messages = [*messages, HumanMessage("b", id="new")]
    start(handler, {"messages": messages, "more": [AIMessage("c", id="of another list"), 5, AIMessage("no id")]})
    assert handler.seen == {*(str(number) for number in range(20)), "changed in place", "new", "of another list"}
    start(handler, {"messages": [AIMessage("c", id="of a subgraph")], "more": [AIMessage("c", id="second")]})
    start(handler, {"messages": messages, "one": AIMessage("d", id="single")})
    assert {"of a subgraph", "second", "single"} <= handler.seen
    assert None not in handler.seen


def test_the_handler_notes_nothing_that_is_no_nodes(handler: StreamMessagesHandler) -> None:
    messages: list[BaseMessage] = [HumanMessage("a", id="1")]
    start(handler, {"messages": messages}, name="a part of the node")
    assert handler.seen == set()
    start(handler, {"messages": messages})
    assert handler.seen == {"1"}
