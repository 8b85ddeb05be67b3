"""The values of states as JSON."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import model_serializer

from app.agents.json_output import as_json
from app.agents.state_json import StateJson


class CountedMessage(HumanMessage):
    """Counts how often it is converted."""

    converted: int = 0

    @model_serializer
    def count(self) -> dict[str, Any]:
        self.converted += 1
        return {"content": self.content}


MESSAGES = [HumanMessage("Hello", id="1"), AIMessage("A lone \ud800", id="2")]


@pytest.mark.parametrize(
    "values",
    [
        {"messages": MESSAGES, "topic": "weather"},
        {"topic": {"a": float("nan")}, "messages": MESSAGES, "found": []},
        {"messages": [*MESSAGES, {"role": "user", "content": "no message"}]},
        {"messages": (MESSAGES[0],)},
        {1: MESSAGES, "1": "an output of a graph without keys"},
        {1: MESSAGES, 2: "numbers"},
        {"\ud800": "a key that UTF-8 cannot carry", "messages": MESSAGES},
        MESSAGES,
        "text",
        None,
    ],
)
def test_values_are_what_they_are_alone(values: Any) -> None:
    assert StateJson().values(values) == as_json(values)


def test_the_states_of_a_conversation_convert_each_message_once() -> None:
    messages = [CountedMessage(content=str(number)) for number in range(3)]
    states = StateJson()
    found = [states.values({"messages": messages[:length]}) for length in (3, 2, 1)]
    assert found == [{"messages": [{"content": str(number)} for number in range(length)]} for length in (3, 2, 1)]
    assert [message.converted for message in messages] == [1, 1, 1]
