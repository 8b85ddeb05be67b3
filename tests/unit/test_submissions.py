"""Every wrong field of a message is named, and every right one reaches the worker."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from app.api.field_errors import field_error
from app.api.request_keys import submit_key
from app.api.schemas.metadata import MAX_METADATA_BYTES
from app.api.schemas.submissions import MessageBatch, MessageCreate
from app.models.inputs import NO_RUN_INPUT, RunConfig, RunInput, ShownEvent
from app.models.messages import MessageOptions, NewMessage
from app.policy.input_preview import input_preview

PNG = "iVBORw0KGgo="
IMAGE = {"type": "image", "url": "https://example.com/cat.png"}
QUESTION = {"type": "text", "text": "What is this?"}


def read(**fields: Any) -> NewMessage:
    """The message of a body."""
    return MessageCreate.model_validate_json(json.dumps(fields)).new_message()


def run_of(**fields: Any) -> RunInput:
    options = read(**fields).options
    return NO_RUN_INPUT if options is None else options.run


def told(**fields: Any) -> list[tuple[str, str]]:
    """The errors of a body."""
    with pytest.raises(ValidationError) as refused:
        read(**fields)
    errors = refused.value.errors(include_url=False, include_input=False)
    found = [field_error(each, MessageCreate) for each in errors]
    return [(each.field, each.detail) for each in found]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "message"),
    ({"message": None}, "message"),
    ({"message": None, "input": None}, "message"),
    ({"message": " "}, "message"),
    ({"message": 5}, "message"),
    ({"message": {}}, "message"),
    ({"message": "Hello", "input": {}}, "message"),
    ({"message": [QUESTION], "input": {}}, "message"),
    ({"message": []}, "message"),
    ({"message": ["Hello"]}, "message.0"),
    ({"message": [{}]}, "message.0.type"),
    ({"message": [QUESTION, {"type": "image_url", "image_url": {"url": "https://a.example"}}]}, "message.1.type"),
    ({"message": [{"type": "text"}]}, "message.0.text"),
    ({"message": [{"type": "text", "text": " "}]}, "message.0.text"),
    ({"message": [{"type": "text", "text": "\x00"}]}, "message.0.text"),
    ({"message": [QUESTION, {"type": "image"}]}, "message.1.url"),
    ({"message": [QUESTION, {"type": "image", "url": "file:///etc/passwd"}]}, "message.1.url"),
    ({"message": [QUESTION, {"type": "image", "url": f"data:image/png;base64,{PNG}"}]}, "message.1.url"),
    ({"message": [QUESTION, {"type": "file", "url": "https://"}]}, "message.1.url"),
    ({"message": [{**IMAGE, "base64": PNG, "mime_type": "image/png"}]}, "message.0.url"),
    ({"message": [{**IMAGE, "file_id": "f"}]}, "message.0.url"),
    ({"message": [{"type": "image", "base64": PNG}]}, "message.0.base64"),
    ({"message": [{"type": "image", "base64": "", "mime_type": "image/png"}]}, "message.0.base64"),
    ({"message": [{"type": "image", "base64": "not base64", "mime_type": "image/png"}]}, "message.0.base64"),
    ({"message": [{"type": "image", "base64": f"{PNG}\n", "mime_type": "image/png"}]}, "message.0.base64"),
    ({"message": [{"type": "image", "base64": "é", "mime_type": "image/png"}]}, "message.0.base64"),
    ({"message": [{**IMAGE, "mime_type": "png"}]}, "message.0.mime_type"),
    ({"message": [{**IMAGE, "mime_type": "audio/wav"}]}, "message.0.mime_type"),
    ({"message": [{**IMAGE, "detail": "low"}]}, "message.0.detail"),
    ({"message": [QUESTION] * 101}, "message"),
    ({"input": []}, "input"),
    ({"input": "Hello"}, "input"),
    ({"input": {"a": ["\x00"]}}, "input"),
    ({"input": {"a": float("nan")}}, "input"),
    ({"message": "Hello", "context": []}, "context"),
    ({"message": "Hello", "config": {"recursion_limit": 0}}, "config.recursion_limit"),
    ({"message": "Hello", "config": {"recursion_limit": 10_001}}, "config.recursion_limit"),
    ({"message": "Hello", "config": {"recursion_limit": "5"}}, "config.recursion_limit"),
    ({"message": "Hello", "config": {"tags": [""]}}, "config.tags.0"),
    ({"message": "Hello", "config": {"tags": ["a", "langsmith:hidden"]}}, "config.tags.1"),
    ({"message": "Hello", "config": {"tags": ["nostream"]}}, "config.tags.0"),
    ({"message": "Hello", "config": {"callbacks": []}}, "config.callbacks"),
    ({"message": "Hello", "metadata": {"a": {"b": 1}}}, "metadata.a"),
    ({"message": "Hello", "metadata": {"a": [1]}}, "metadata.a"),
    ({"message": "Hello", "metadata": {"a": float("inf")}}, "metadata.a"),
    ({"message": "Hello", "metadata": {"a": 2**63}}, "metadata.a"),
    ({"message": "Hello", "metadata": {"a": "\x00"}}, "metadata.a"),
    ({"message": "Hello", "metadata": {"": 1}}, "metadata."),
    ({"message": "Hello", "metadata": {"k" * 65: 1}}, "metadata." + "k" * 65),
    ({"message": "Hello", "metadata": {"a": "x" * MAX_METADATA_BYTES}}, "metadata"),
    ({"message": "Hello", "metadata": []}, "metadata"),
    ({"message": "Hello", "name": "A talk"}, "name"),
    ({"message": "Hello", "name": "", "thread_id": "t"}, "name"),
    ({"message": "Hello", "client_message_id": ""}, "client_message_id"),
    ({"message": "Hello", "aliases": []}, "aliases"),
    ({"message": "Hello", "aliases": list("123456789")}, "aliases"),
    ({"message": "Hello", "aliases": ["a", "b/c"]}, "aliases.1"),
    ({"message": "Hello", "aliases": [".."]}, "aliases.0"),
    ({"message": "Hello", "aliases": ["a\n"]}, "aliases.0"),
    ({"message": "Hello", "aliases": ["ann\nrun"]}, "aliases.0"),
    ({"message": "Hello", "aliases": ["a" * 256]}, "aliases.0"),
    ({"message": "Hello", "metdata": {}}, "metdata"),
]


@pytest.mark.parametrize(("fields", "field"), WRONG)
def test_a_wrong_field_is_named_once(fields: dict[str, Any], field: str) -> None:
    assert [each for each, _ in told(**fields)] == [field]


def test_a_wrong_field_of_a_batch_is_named_with_its_place() -> None:
    body = {"messages": [{"message": "Hello"}, {"message": [QUESTION, {"type": "image", "url": "ftp://a.example"}]}]}
    with pytest.raises(ValidationError) as refused:
        MessageBatch.model_validate_json(json.dumps(body))
    errors = refused.value.errors(include_url=False, include_input=False)
    assert [field_error(each, MessageBatch).field for each in errors] == ["messages.1.message.1.url"]


def test_unknown_fields_and_types_are_answered_with_the_known_ones() -> None:
    ((_, detail),) = told(message=[{"type": "picture", "url": "https://a.example"}])
    assert detail == "expected one of text, image, audio, video, file"
    ((_, detail),) = told(message=[{**QUESTION, "texts": 1}])
    assert detail == "unknown field. Known here: id, extras, type, text."


def test_a_text_alone_has_no_options() -> None:
    assert read(message="Hello") == NewMessage("Hello")
    assert read(message="Hello", context=None, config=None, events=None, metadata=None).options is None


def test_blocks_reach_the_worker_in_the_standard_form() -> None:
    blocks = [
        QUESTION,
        IMAGE,
        {"type": "image", "base64": PNG, "mime_type": "image/png", "id": "b-1"},
        {"type": "audio", "url": "http://127.0.0.1:8080/a.wav", "mime_type": "audio/wav"},
        {"type": "video", "file_id": "file-1"},
        {"type": "file", "base64": PNG, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
    ]
    new = read(message=blocks)
    assert new.content == "What is this?"
    assert new.options == MessageOptions(run=RunInput(blocks=tuple(blocks)))
    assert read(message=[IMAGE, IMAGE]).content == "[image] [image]"


def test_an_input_reaches_the_worker_as_it_came() -> None:
    given = {"question": None, "deep": [{"a": [1.5, True, "é"]}]}
    new = read(input=given)
    assert new.options == MessageOptions(run=RunInput(input=given))
    assert new.content == '{"question":null,"deep":[{"a":[1.5,true,"é"]}]}'
    assert run_of(input={}) == RunInput(input={})


def test_all_that_a_run_is_given_reaches_the_worker() -> None:
    new = read(
        message="Hello",
        context={"user_id": "u"},
        config={"recursion_limit": 7, "tags": ["a", "b", "a"], "configurable": {"model": "m"}},
        events=["node", "custom", "node"],
        client_message_id="c-1",
        max_attempts=2,
        thread_id="t",
        name="A talk",
        metadata={"a": 1, "b": None, "c": "x", "d": True, "e": 1.5},
        aliases=["one", "two", "one"],
    )
    assert new.options == MessageOptions(
        max_attempts=2,
        run=RunInput(
            context={"user_id": "u"},
            config=RunConfig(recursion_limit=7, tags=("a", "b"), configurable={"model": "m"}),
            events=(ShownEvent.NODE, ShownEvent.CUSTOM),
            message_id="c-1",
        ),
    )
    assert (new.thread_name, new.aliases) == ("A talk", ("one", "two"))
    assert new.metadata == {"a": 1, "b": None, "c": "x", "d": True, "e": 1.5}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}, "Hi"),
        ({"messages": [["human", "Hi"], ["ai", "Yes?"]]}, "Hi"),
        ({"messages": "Hi"}, "Hi"),
        ({"messages": {"type": "human", "content": [QUESTION, IMAGE]}}, "What is this?"),
        ({"messages": [{"lc": 1, "id": [], "kwargs": {"type": "human", "content": "Hi"}}]}, "Hi"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, None),
        ({"messages": [{"role": "system", "content": "Be kind."}]}, None),
        ({"messages": 5}, None),
        ({}, "{}"),
    ],
)
def test_an_input_is_listed_by_its_last_human_text_or_as_json(given: dict[str, Any], shown: str | None) -> None:
    assert input_preview(given) == (shown or json.dumps(given, separators=(",", ":")))


def test_a_long_input_is_shortened() -> None:
    assert len(input_preview({"a": "x" * 5_000})) == 1_000


def test_a_key_tells_apart_whatever_is_given() -> None:
    bodies: list[dict[str, Any]] = [
        {"message": "Hello"},
        {"message": [{"type": "text", "text": "Hello"}]},
        {"input": {"messages": "Hello"}},
        {"input": {"messages": "Hello", "a": None}},
        {"message": "Hello", "context": {}},
        {"message": "Hello", "metadata": {"a": 1}},
        {"message": "Hello", "aliases": ["a"]},
        {"message": "Hello", "client_message_id": "a"},
        {"message": "Hello", "thread_id": "t"},
        {"message": "Hello", "thread_id": "t", "name": "n"},
    ]
    prints = [submit_key("key", read(**body), "chat")[1] for body in bodies]
    assert len(set(prints)) == len(prints)
    again = [submit_key("key", read(**{**body, "agent": "chat", "config": {}}), "chat")[1] for body in bodies]
    assert again == prints
