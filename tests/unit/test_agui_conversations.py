"""Messages of states and inputs in the form of AG-UI."""

from typing import Any

import pytest

from app.protocols.agui.conversations import merged, shown_messages, user_message

SO = [{"type": "text", "text": "so"}]
CALL = {"id": "c1", "name": "add", "args": {"a": 1}}


def shown(*given: Any) -> list[dict[str, Any]]:
    """Messages as a client gets them."""
    return [each.model_dump(mode="json", by_alias=True) for each in shown_messages(given)]


def named(*ids: str) -> list[Any]:
    return [user_message(each, each) for each in ids]


@pytest.mark.parametrize(
    ("before", "ended", "wanted"),
    [
        ("", False, "u a b"),
        ("x y", False, "x y u a b"),
        ("x y u", False, "x y u a b"),
        ("x y u a", False, "x y u a b"),
        ("x u a b later", True, "x u a b later"),
        ("x a u", False, "x u a b"),
        ("x u a ahead", False, "x u a b"),
    ],
)
def test_a_conversation_has_each_message_once_and_none_of_which_events_follow(
    before: str, ended: bool, wanted: str
) -> None:
    found = merged(named(*before.split()), named("u"), named("a", "b"), ended=ended)
    assert [each.id for each in found] == wanted.split()


def test_messages_of_a_state_and_of_an_input() -> None:
    assert shown(
        {"type": "human", "id": "h", "content": "Hi"},
        {"role": "user", "id": "u", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "developer", "id": "s", "content": "Be kind."},
        {"type": "ai", "id": "a", "content": [{"type": "reasoning", "reasoning": "Hm"}, "So ", *SO]},
        {"type": "ai", "id": "b", "content": "", "tool_calls": [CALL]},
        {"role": "assistant", "id": "c", "tool_calls": [{"id": "c2", "function": {"name": "f", "arguments": "{}"}}]},
        {"type": "tool", "id": "t", "tool_call_id": "c1", "content": ["no"], "status": "error"},
    ) == [
        {"id": "h", "role": "user", "content": "Hi"},
        {"id": "u", "role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"id": "s", "role": "system", "content": "Be kind."},
        {"id": "a-reasoning", "role": "reasoning", "content": "Hm"},
        {"id": "a", "role": "assistant", "content": "So so"},
        {"id": "b", "role": "assistant", "toolCalls": [called("c1", "add", '{"a": 1}')]},
        {"id": "c", "role": "assistant", "toolCalls": [called("c2", "f", "{}")]},
        {
            "id": "t", "role": "tool", "toolCallId": "c1", "content": '["no"]',
            "metadata": {"agentq": {"status": "error"}},
        },
    ]  # fmt: skip


def called(name: str, function: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}}


def test_what_is_no_message_is_left_out_and_odd_content_is_shown_as_its_text() -> None:
    odd = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert shown("text", 5, {"type": "remove", "id": "r"}, {"type": "human", "content": "no id"}) == []
    assert shown({"type": "human", "id": "h", "content": odd}) == [{"id": "h", "role": "user", "content": "Look"}]
    no_source = [{"type": "text", "text": "Look"}, {"type": "image", "mime_type": "image/png"}]
    assert shown({"type": "human", "id": "h", "content": no_source}) == [{"id": "h", "role": "user", "content": "Look"}]
    assert shown({"type": "ai", "id": "a", "content": None}) == [{"id": "a", "role": "assistant"}]
