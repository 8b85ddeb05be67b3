"""Calls of A2A's clients become messages of the queue and answers to questions."""

import json
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from app.errors import InvalidRequest
from app.models.requests import ResumeAnswer
from app.protocols.a2a.dialects import Present
from app.protocols.a2a.inputs import answer_of, new_message
from app.protocols.a2a.json_forms import json_of
from app.protocols.a2a.tasks import answer_message, error_message, output_artifact


def sent(*parts: Any) -> pb.SendMessageRequest:
    """A request with these parts."""
    message = {"messageId": "m", "role": "ROLE_USER", "parts": list(parts)}
    return ParseDict({"message": message}, pb.SendMessageRequest())


@pytest.mark.parametrize(
    ("parts", "asked", "expected"),
    [
        ([{"text": "yes"}], ["a"], ResumeAnswer(value="yes")),
        ([{"text": "yes"}, {"text": "please"}], ["a"], ResumeAnswer(value="yes\nplease")),
        ([{"data": {"a": 1}}], ["a"], ResumeAnswer(values={"a": 1})),
        ([{"data": {"a": 1, "b": 2}}], ["a", "b"], ResumeAnswer(values={"a": 1, "b": 2})),
        ([{"data": {"other": 1}}], ["a"], ResumeAnswer(value={"other": 1})),
        ([{"data": {"a": 1, "other": 1}}], ["a"], ResumeAnswer(value={"a": 1, "other": 1})),
        ([{"data": {}}], ["a"], ResumeAnswer(value={})),
    ],
)
def test_an_answer_is_a_value_or_names_its_questions(parts: Any, asked: list[str], expected: ResumeAnswer) -> None:
    assert answer_of(sent(*parts).message, asked) == expected


@pytest.mark.parametrize("parts", [[{"text": "yes"}], [{"data": {"a": 1, "other": 1}}], [{"data": 1}]])
def test_several_questions_need_an_answer_by_the_id_of_each(parts: Any) -> None:
    with pytest.raises(InvalidRequest, match="asks 2 questions"):
        answer_of(sent(*parts).message, ["a", "b"])


def test_data_is_the_input_of_an_agent_whose_fields_it_has() -> None:
    fields = frozenset({"text", "count"})
    for data, allowed, is_input in (
        ({"text": "x", "count": 2}, fields, True),
        ({"text": "x", "other": 1}, fields, False),
        ({}, fields, False),
        ({"other": 1}, None, True),
        ([1], None, False),
    ):
        run = new_message(sent({"data": data}), "steps", allowed, Present.names).options.run  # type: ignore[union-attr]  # it is given
        assert (run.input is not None) is is_input, data
        if is_input:
            content = new_message(sent({"data": data}), "steps", allowed, Present.names).content
            assert json.loads(content) == data, "lists show the input"
            assert json.dumps(run.input, sort_keys=True) == json.dumps(data, sort_keys=True), "whole numbers stay whole"


def test_one_text_is_the_content_of_a_message_and_no_block() -> None:
    new = new_message(sent({"text": "Hi"}), "steps", None, Present.names)
    assert new.options is not None
    assert (new.content, new.options.run.blocks) == ("Hi", None)
    long = "Hi there.\n" * 1_000
    assert new_message(sent({"text": long}), "steps", None, Present.names).content == long, "no preview of it"
    several = new_message(sent({"text": "Hi"}, {"text": "there"}), "steps", None, Present.names)
    assert several.options is not None
    assert len(several.options.run.blocks or ()) == 2


def test_files_are_shown_in_lists_beside_the_text_and_keep_their_names() -> None:
    data = {"raw": "iVBORw0KGgo=", "filename": "chart.png"}
    with_text = new_message(sent({"text": "Look"}, {**data, "mediaType": "image/png"}), "steps", None, Present.names)
    assert with_text.content.startswith("Look")
    alone = new_message(sent(data), "steps", None, Present.names)
    assert alone.content == "[file]"
    assert alone.options is not None
    (block,) = alone.options.run.blocks or ()
    assert (block["mime_type"], block["extras"]) == ("application/octet-stream", {"filename": "chart.png"})


def test_answers_to_several_questions_are_data_in_the_history() -> None:
    one, several = (answer_message("n", "t", "c", answers) for answers in ({"a": "yes"}, {"a": "yes", "b": 2}))
    assert json.loads(json_of(one))["parts"] == [{"text": "yes", "mediaType": "text/plain"}]
    assert json.loads(json_of(several))["parts"] == [{"data": {"a": "yes", "b": 2}, "mediaType": "application/json"}]


def test_an_error_without_a_code_names_none() -> None:
    assert json.loads(json_of(error_message("t", "c", "no", "agent_error")))["metadata"] == {
        "agentq": {"code": "agent_error"}
    }
    assert "metadata" not in json.loads(json_of(error_message("t", "c", "no", None)))


def test_whole_numbers_are_written_without_a_fraction() -> None:
    written = json_of(output_artifact({"sum": 1, "half": 0.5, "all": [2, -3]}))
    assert json.loads(written)["parts"][0]["data"] == {"sum": 1, "half": 0.5, "all": [2, -3]}
    assert ".0" not in written
