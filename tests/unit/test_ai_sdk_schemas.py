"""Any JSON that a page posts is taken or refused by name, and what is taken can be stored."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.schemas.submissions import MessageCreate
from app.errors import InvalidRequest
from app.protocols.ai_sdk.questions import answers_in
from app.protocols.ai_sdk.requests import new_message
from app.protocols.ai_sdk.schemas import ChatRequest

TEXT = {"type": "text", "text": "Hi"}
FILE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0KGgo=", "filename": "a"}
ANSWER = {"type": "tool-ask_human", "toolCallId": "q", "state": "output-available", "output": {"a": [1]}}
BODY = {"id": "c", "trigger": "submit-message", "messageId": None, "agent": "a", "priority": "low", "context": {"a": 1}}
BODIES: list[dict[str, Any]] = [
    {**BODY, "messages": [{"id": "u", "role": "user", "parts": [TEXT, FILE]}]},
    {**BODY, "messages": [{"id": "a", "role": "assistant", "parts": [{"type": "step-start"}, ANSWER]}]},
]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("user"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """All containers in a value, each with one of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((value, key), *places(inner))]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BODIES), VALUES, st.data())
def test_a_body_with_another_value_at_one_place_is_taken_or_refused(body: Any, value: Any, data: st.DataObject) -> None:
    body = copy.deepcopy(body)
    container, key = data.draw(st.sampled_from(places(body)))
    container[key] = value
    try:
        given = ChatRequest.model_validate_json(json.dumps(body))
        answers_in(given.message.answered)
    except (ValidationError, InvalidRequest):
        return
    if given.message.role == "user":
        new = new_message(given)
        assert new.content.strip()
        blocks = new.options.run.blocks if new.options else None
        if blocks is not None:
            MessageCreate.model_validate({"message": list(blocks)})


@pytest.mark.parametrize("chat_id", [".", ".."])
def test_an_id_that_no_path_can_have_is_refused(chat_id: str) -> None:
    with pytest.raises(ValidationError, match="which no path can have"):
        ChatRequest.model_validate({**BODIES[0], "id": chat_id})
    assert ChatRequest.model_validate({**BODIES[0], "id": "..."}).id == "..."


@pytest.mark.parametrize("body", BODIES)
def test_the_bodies_are_taken_as_they_are(body: Any) -> None:
    given = ChatRequest.model_validate_json(json.dumps(body))
    assert answers_in(given.message.answered) == ({} if given.message.role == "user" else {"q": {"a": [1]}})
