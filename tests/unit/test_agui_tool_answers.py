"""The tool calls of a thread that wait for an answer of a page."""

from typing import Any

import pytest

from app.protocols.agui.tool_answers import open_calls_in


def calling(*calls: str, id: str = "a") -> dict[str, Any]:
    return {"type": "ai", "id": id, "tool_calls": [{"id": call, "name": "add"} for call in calls]}


@pytest.mark.parametrize(
    ("messages", "own", "expected"),
    [
        ([], [], ""),
        ([calling("c1", "c2")], [], "c1 c2"),
        ([calling("c1", "c2"), {"type": "tool", "tool_call_id": "c1"}], [], "c2"),
        (["a text", 5, calling("c1")], [], "c1"),
        ([{"tool_calls": [{"id": None}, {"id": ""}]}], [], ""),
        ([calling("c1"), {"type": "human", "id": "u"}, calling("c2", id="b")], ["u"], "c1"),
    ],
)
def test_calls_wait_until_they_are_answered_and_those_of_a_run_that_goes_on_are_its_own(
    messages: list[Any], own: list[str], expected: str
) -> None:
    assert open_calls_in(messages, own) == set(expected.split())
