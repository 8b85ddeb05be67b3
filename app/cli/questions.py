"""Reads the questions of agents, and makes answers of what a person types."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..client.models import Question

TEXTS = ("question", "message", "text", "prompt", "description")
"""Fields of a question that may hold its text, the first one first."""

CHOICES = ("choices", "options")


class Asked(NamedTuple):
    """A question. `answers` has a value for each of the choices, which are given by their number or their name."""

    id: str
    text: str
    choices: tuple[str, ...] = ()
    answers: tuple[Any, ...] = ()
    calls: int = 0

    def answer(self, typed: str) -> Any:
        """Return the answer that a person has typed. What is no choice is a text, or a reason to reject tool calls."""
        given = typed.strip()
        for number, (choice, value) in enumerate(zip(self.choices, self.answers, strict=True), 1):
            if given == str(number) or given.lower() == choice.lower():
                return value
        if self.calls:
            return {"decisions": [{"type": "reject", "message": given}] * self.calls}
        return typed

    def lines(self) -> list[str]:
        """Return the question and its choices, one a line."""
        hint = ["Anything else rejects with that reason."] if self.calls else []
        return [self.text, *(f"  {number}. {choice}" for number, choice in enumerate(self.choices, 1)), *hint]


def read_question(question: "Question") -> Asked:
    """Return a question. Agents may ask with any JSON value; what has no known form is shown as it is."""
    value = question.value
    if not isinstance(value, Mapping):
        return Asked(question.id, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if calls := _tool_calls(value):
        decisions = tuple({"decisions": [{"type": kind}] * len(calls)} for kind in ("approve", "reject"))
        text = f"May the agent call {', '.join(calls)}?"
        return Asked(question.id, text, ("approve", "reject"), decisions, len(calls))
    text = next((value[name] for name in TEXTS if isinstance(value.get(name), str)), "")
    given: list[Any] = next((value[name] for name in CHOICES if isinstance(value.get(name), list)), [])
    named = [_choice(each) for each in given]
    return Asked(
        question.id,
        text or json.dumps(value, ensure_ascii=False),
        tuple(name for name, _ in named),
        tuple(answer for _, answer in named),
    )


def _choice(given: Any) -> tuple[str, Any]:
    """Return the name and the answer of a choice: a text, or an object with a label and a value."""
    if isinstance(given, Mapping):
        name = given.get("label", given.get("value"))
        return name if isinstance(name, str) else json.dumps(given), given.get("value", name)
    return given if isinstance(given, str) else json.dumps(given), given


def _tool_calls(value: Mapping[str, Any]) -> Sequence[str]:
    """Return the calls that LangChain's middleware asks to approve, such as `search({"q": "x"})`."""
    requests = value.get("action_requests")
    if not isinstance(requests, list) or not all(isinstance(each, Mapping) for each in requests):
        return []
    return [call_text(str(each.get("name", "")), each.get("args")) for each in requests]


def call_text(name: str, arguments: Any) -> str:
    """Return a tool call as people read it."""
    if isinstance(arguments, Mapping):
        return (
            f"{name}({', '.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in arguments.items())})"
        )
    return f"{name}({json.dumps(arguments, ensure_ascii=False)})"
