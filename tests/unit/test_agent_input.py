"""Checks of an input and a context against an agent's description, and how graphs are described."""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.managed import RemainingSteps
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict

from app.agents import schemas
from app.agents.schemas import describe_graph
from app.errors import InvalidInput
from app.models.agents import AgentDescription
from app.models.inputs import ShownEvent
from app.policy.agent_input import ANY_OBJECT, check_context, check_input, check_text, invalid, usable
from app.policy.first_fault import FirstFault


@dataclass
class Context:
    """The values that the nodes read."""

    user: str
    depth: int = 3


class Question(TypedDict):
    """A state, most keys of which the nodes write."""

    question: str
    documents: list[str]


class Asked(TypedDict):
    """An input of its own."""

    question: str


class Form(BaseModel):
    """A state that is checked."""

    name: str = Field(min_length=2)
    at: datetime | None = None
    messages: list[AnyMessage] = []


class Plain(typing.TypedDict):
    """A state whose class pydantic cannot read before Python 3.12."""

    question: str
    messages: list[BaseMessage]


class Cat(BaseModel):
    """One kind of pet."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """Another kind of pet."""

    kind: Literal["dog"]
    bark: str


class Owned(BaseModel):
    """A state with a value of one of several kinds."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Owner(BaseModel):
    """A value, whose aliases stay."""

    name: str = Field(alias="fullName")


class Aliased(BaseModel):
    """A state whose fields have aliases. LangGraph gives it by the names of the fields."""

    model_config = ConfigDict(populate_by_name=True)

    user_name: str = Field(alias="userName")
    owner: Owner | None = None


class Counted(TypedDict):
    """A state with a value that LangGraph itself sets at each step."""

    question: str
    remaining_steps: RemainingSteps


class CountedForm(BaseModel):
    """The same, checked by pydantic."""

    question: str
    remaining_steps: RemainingSteps


def graph_of(state: Any, **given: Any) -> Any:
    graph: Any = StateGraph(state, **given)
    graph.add_node("node", lambda _: {})
    graph.add_edge(START, "node")
    return graph.compile()


def described(state: Any, **given: Any) -> AgentDescription:
    return describe_graph(graph_of(state, **given), "mine")


Describe = Callable[[], AgentDescription]


def of(state: Any, **given: Any) -> Describe:
    """Return what describes a graph with this state, for tables of cases: to collect tests describes none."""
    return lambda: described(state, **given)


ONE = {"role": "user", "content": "Hi"}

FITTING: dict[str, tuple[Describe, dict[str, Any]]] = {
    "some keys of a state": (of(Question), {"question": "Why?"}),
    "an input of its own": (of(Question, input_schema=Asked), {"question": "Why?"}),
    "a checked state": (of(Form), {"name": "Ann", "at": "2026-01-01T00:00:00Z"}),
    "messages in each form": (of(MessagesState), {"messages": ["Hi", ["user", "Hi"], ONE, {**ONE, "id": "x"}]}),
    "one message": (of(MessagesState), {"messages": ONE}),
    "blocks": (of(Plain), {"messages": [{"type": "human", "content": [{"type": "text", "text": "Hi"}]}]}),
    "the fields of a state with aliases": (of(Aliased), {"user_name": "Ann", "owner": {"fullName": "Ann B"}}),
    "anything": (lambda: AgentDescription(name="mine", input_schema=ANY_OBJECT, output_schema={}), {"a": [1]}),
}


@pytest.mark.parametrize("case", FITTING)
def test_an_input_that_fits_is_taken(case: str) -> None:
    describe, given = FITTING[case]
    check_input(describe(), given)


def test_a_value_set_by_langgraph_is_neither_input_nor_output() -> None:
    description = described(Counted)
    assert list(description.input_schema["properties"]) == ["question"]
    assert list(description.output_schema["properties"]) == ["question"]
    assert described(CountedForm).input_schema["required"] == ["question"]


REFUSED: dict[str, tuple[Describe, dict[str, Any], str]] = {
    "wrong type": (of(Question), {"question": 3}, 'input.question: 3 is not of type "string".'),
    "wrong item": (of(Question), {"documents": ["a", 1]}, 'input.documents.1: 1 is not of type "string".'),
    "missing": (of(Question, input_schema=Asked), {}, "input.question: is missing."),
    "unknown": (of(Question), {"x": 1}, "input.x: is unknown; known: `question`, `documents`."),
    "set by LangGraph": (
        of(Counted),
        {"remaining_steps": 9},
        "input.remaining_steps: is unknown; known: `question`.",
    ),
    "too short": (of(Form), {"name": "A"}, 'input.name: "A" is shorter than 2 characters.'),
    "no role": (
        of(MessagesState),
        {"messages": [ONE, {"content": "Hi"}]},
        "input.messages.1: expected a text, a pair of role and content, or an object with both.",
    ),
    "unknown role": (
        of(MessagesState),
        {"messages": [ONE, {"role": "alien", "content": "Hi"}]},
        'input.messages.1.role: "alien" is not one of "human", "user" or 7 other candidates.',
    ),
    "missing in the kind that is meant": (of(Owned), {"pet": {"kind": "dog"}}, "input.pet.bark: is missing."),
    "wrong in the kind that is meant": (
        of(Owned),
        {"pet": {"kind": "dog", "bark": 1}},
        'input.pet.bark: 1 is not of type "string".',
    ),
    "no kind": (
        of(Owned),
        {"pet": {"kind": "cow"}},
        'input.pet: {"kind":"cow"} is not valid under any of the schemas listed in the \'oneOf\' keyword.',
    ),
    "alias": (of(Aliased), {"userName": "Ann"}, "input.userName: is unknown; known: `user_name`, `owner`."),
    "no content": (
        of(Plain),
        {"messages": [{"role": "user", "content": 3}]},
        "input.messages.0.content: 3 is not valid under any of the schemas listed in the 'anyOf' keyword.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_field(case: str) -> None:
    describe, given, told = REFUSED[case]
    description = describe()
    with pytest.raises(InvalidInput) as error:
        check_input(description, given)
    assert (str(error.value), error.value.field, error.value.code) == (told, told.split(":")[0], "invalid_input")


def test_an_error_is_short_and_on_one_line() -> None:
    with pytest.raises(InvalidInput) as error:
        check_input(described(Question), {"question": ["\n" * 50_000]})
    assert len(str(error.value)) < 1_000
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"user": "a"}, None),
        ({"user": "a", "depth": 4}, None),
        ({}, "context.user"),
        ({"user": "a", "x": 1}, "context.x"),
    ],
)
def test_a_context_is_checked(given: Mapping[str, Any], field: str | None) -> None:
    description = described(MessagesState, context_schema=Context)
    if field is None:
        check_context(description, given)
        return
    with pytest.raises(InvalidInput) as error:
        check_context(description, given)
    assert error.value.field == field


def test_an_agent_without_a_context_takes_none() -> None:
    check_context(described(MessagesState), {})
    with pytest.raises(InvalidInput, match="context: this agent takes no context"):
        check_context(described(MessagesState), {"user": "a"})


def test_a_text_goes_to_agents_with_messages_only() -> None:
    model = GenericFakeChatModel(messages=iter([]))
    for graph in (graph_of(MessagesState), graph_of(Form), graph_of(Plain), create_agent(model, tools=[])):
        check_text(describe_graph(graph, "mine"))
    with pytest.raises(InvalidInput, match=r"message: this agent takes no text; give an `input` with `question`"):
        check_text(described(Question, input_schema=Asked))


@entrypoint()
def shouts(text: str) -> str:
    """Say it louder."""
    return text.upper()


@entrypoint()
def anything(given):  # type: ignore[no-untyped-def]  # as some users write it
    return given


@entrypoint()
def objects(given: dict) -> Question:  # type: ignore[type-arg]  # as above
    return {"question": "", "documents": []}


@entrypoint()
def conversation(messages: list[BaseMessage]) -> BaseMessage:
    return messages[-1]


@entrypoint()
def form(given: Form) -> int:
    return 1


def test_entrypoints_are_described_by_their_annotations() -> None:
    for graph in (shouts, anything, objects, conversation, form):
        check_text(describe_graph(graph, "mine"))
    description = describe_graph(shouts, "mine")
    assert (description.description, description.output_schema["type"]) == ("Say it louder.", "string")
    with pytest.raises(InvalidInput, match="input"):
        check_input(description, {"text": "a"})
    check_input(describe_graph(form, "mine"), {"name": "Ann"})


def test_a_description_is_small_and_names_what_is_taken() -> None:
    description = described(MessagesState, context_schema=Context)
    assert len(description.model_dump_json()) < 4_000, "without the definitions of LangChain's messages"
    assert list(description.input_schema["properties"]) == ["messages"]
    assert description.context_schema is not None
    assert description.context_schema["required"] == ["user"]
    assert description.description == ""
    assert description.events == tuple(ShownEvent)


Ticket = typing.TypedDict("Ticket", {"title": str, "$ref": int})
"""A class that pydantic refuses before Python 3.12, with keys that have a meaning in JSON Schema."""


def test_a_typed_dict_of_the_standard_library_is_described_with_what_it_requires() -> None:
    description = described(Question, input_schema=Ticket)
    assert sorted(description.input_schema["properties"]) == ["$ref", "title"]
    check_input(description, {"title": "It burns", "$ref": 1})
    with pytest.raises(InvalidInput) as missing:
        check_input(description, {"title": "It burns"})
    assert missing.value.field == "input.$ref"


class Sum(typing.TypedDict, total=False):
    """The input and output of an entrypoint."""

    first: typing.Required[int]
    second: int


@entrypoint(context_schema=Sum)
def adds(given: Sum) -> Sum:
    return given


def test_an_entrypoint_of_a_typed_dict_of_the_standard_library_takes_its_keys() -> None:
    description = describe_graph(adds, "mine")
    for name, schema in (("input", description.input_schema), ("context", description.context_schema)):
        assert schema is not None, name
        assert sorted(schema["properties"]) == ["first", "second"], name
        assert schema["required"] == ["first"], name
    assert sorted(description.output_schema["properties"]) == ["first", "second"]
    check_input(description, {"first": 1, "second": 2})
    with pytest.raises(InvalidInput, match=r"input\.first: is missing"):
        check_input(description, {"second": 2})


def test_a_graph_whose_types_have_no_schema_takes_any_object() -> None:
    description = describe_graph(_with_broken_schema(), "mine")
    assert description.input_schema == ANY_OBJECT
    check_input(description, {"anything": 1})
    check_text(description)


def _with_broken_schema() -> Any:
    class Broken(BaseModel):
        name: str

        @classmethod
        def __get_pydantic_json_schema__(cls, *_: Any) -> Any:
            raise RuntimeError("no schema")

    graph = graph_of(Broken)
    graph.channels.clear()
    return graph


def test_a_description_is_made_so_that_it_can_be_stored_sent_and_checked_against() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    odd = AgentDescription(
        name="mine",
        description="Lone \ud800 and \x00.",
        input_schema={"type": "object", "properties": {"s": {"default": "\udfff", "type": "string"}}},
        output_schema={"type": "string", "pattern": r"(?P=name)"},
        context_schema=deep,
        state_schema=deep,
        graph={"nodes": [{"id": "\ud800"}], "edges": []},
    )
    made = usable(odd)
    assert AgentDescription.model_validate_json(made.model_dump_json()) == made
    assert (made.name, made.description) == ("mine", "Lone ? and \ufffd.")
    assert made.input_schema["properties"]["s"]["default"] == "?"
    assert (made.output_schema, made.context_schema, made.state_schema) == (ANY_OBJECT, ANY_OBJECT, ANY_OBJECT)
    assert made.graph == {"nodes": [{"id": "?"}], "edges": []}
    fine = described(Form, context_schema=Context)
    assert usable(fine) == fine
    assert usable(fine.model_copy(update={"context_schema": None})).context_schema is None


def test_a_sentence_ends_once() -> None:
    assert str(invalid("input.a", "cannot be read: Use one of 'a' or 'b'.")).endswith("'b'.")
    assert not str(invalid("input.a", "cannot be read: Use one of 'a' or 'b'.")).endswith("..")


class Item(TypedDict):
    """An entry of a long list."""

    a: int


class Long(TypedDict):
    """A state with long lists in unions."""

    items: list[Item] | None
    named: dict[str, Item] | None


FINE, WRONG = {"a": 1}, {"a": "x"}
LARGE: dict[str, tuple[Describe, dict[str, Any], str]] = {
    "all wrong": (of(Long), {"items": [WRONG] * 5_000}, "input.items.0.a"),
    "the last wrong": (of(Long), {"items": [*[FINE] * 5_000, WRONG]}, "input.items.5000.a"),
    "one in the middle": (of(Long), {"items": [*[FINE] * 99, WRONG, *[FINE] * 5_000]}, "input.items.99.a"),
    "wrong names": (of(Long), {"named": {f"k{n}": WRONG for n in range(5_000)}}, "input.named.k0.a"),
    "the last name": (
        of(Long),
        {"named": {**{f"k{n}": FINE for n in range(5_000)}, "last": WRONG}},
        "input.named.last.a",
    ),
    "two lists": (of(Long), {"items": [*[FINE] * 50, WRONG], "named": {"k": WRONG}}, "input.named.k.a"),
    "messages": (of(MessagesState), {"messages": [*[ONE] * 5_000, {"role": "user"}]}, "input.messages.5000"),
    "roles": (of(MessagesState), {"messages": [{**ONE, "role": "x"}] * 5_000}, "input.messages.0.role"),
}


@pytest.mark.parametrize("case", LARGE)
def test_few_errors_are_made_for_a_large_input(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    describe, given, field = LARGE[case]
    description = describe()
    lengths: list[int] = []
    place_of = FirstFault.place_of

    def measured(fault: FirstFault, path: typing.Sequence[str | int]) -> list[str | int]:
        lengths.append(len(str(fault.value)))
        return place_of(fault, path)

    monkeypatch.setattr(FirstFault, "place_of", measured)
    with pytest.raises(InvalidInput) as refused:
        check_input(description, given)
    assert refused.value.field == field
    assert max(lengths) < len(str(given)) / 2, "the validator makes errors of a part only"


class OwnMessage(HumanMessage):
    """A message of a user's own class."""

    mood: str = ""


class Letters(TypedDict):
    """A state with messages in several forms."""

    messages: Annotated[list[AnyMessage], "all"]
    last: NotRequired[HumanMessage | None]
    own: NotRequired[dict[str, OwnMessage]]


@entrypoint()
def replies(said: HumanMessage) -> str:
    return said.text


STATES = (Question, Form, Plain, MessagesState, Letters)


@pytest.mark.parametrize("graph", [*map(graph_of, STATES), replies], ids=[*(each.__name__ for each in STATES), "value"])
def test_schemas_are_those_that_langgraph_makes(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fields of messages, which are replaced, are left out while a schema is made. The result is the same."""
    quick = describe_graph(graph, "mine")
    monkeypatch.setattr(schemas, "_of_declared", lambda *_: ())
    monkeypatch.setattr(schemas, "_BriefMessages", GenerateJsonSchema)
    assert describe_graph(graph, "mine") == quick
    assert quick.input_schema != ANY_OBJECT
