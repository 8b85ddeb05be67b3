"""Shows questions to a human as calls of a tool, and finds the answers in what a page posts. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import InvalidRequest

QUESTION_TOOL = "ask_human"

_TYPES = (f"tool-{QUESTION_TOOL}", "dynamic-tool")


def question_input(value: Any) -> Any:
    """Return the input of the tool call that asks. Inputs of tools are objects."""
    return value if isinstance(value, dict) else {"value": value}


def answers_in(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values that a page gave, by the ids of the questions.

    Raises InvalidRequest for a refusal to answer.
    """
    return dict(_answers(parts))


def _answers(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for part in parts:
        if part.get("type") not in _TYPES or part.get("toolName", QUESTION_TOOL) != QUESTION_TOOL:
            continue
        call_id, state = part.get("toolCallId"), part.get("state")
        if not isinstance(call_id, str):
            continue
        if state == "output-error":
            told = "expected an answer as `output`. Stop the chat to end the question without an answer"
            raise InvalidRequest(f"messages.parts.errorText: {told}", field="messages.parts.errorText")
        if state == "output-available":
            yield call_id, part.get("output")
