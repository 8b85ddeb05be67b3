"""Agents for the tests and the pictures of the dashboard: one asks, and one fails now and then."""

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

DECISION = {
    "question": "Book these seats?",
    "schema": {
        "type": "object",
        "properties": {
            "seats": {"type": "integer", "title": "Seats", "default": 2},
            "class": {"enum": ["first", "second"], "title": "Class"},
        },
        "required": ["seats", "class"],
    },
}


def _ask(state: MessagesState) -> dict[str, Any]:
    text = state["messages"][-1].text
    answer = interrupt(DECISION if text.startswith("Book") else text)
    return {"messages": [AIMessage(f"Booked: {answer}")]}


def _search(state: MessagesState) -> dict[str, Any]:
    text = state["messages"][-1].text
    if "Atlantis" in text:
        raise TimeoutError("the timetable did not answer within 10 s")
    if "yesterday" in text:
        raise ValueError("the day of travel is in the past")
    return {"messages": [AIMessage(f"Two trains go: the EC 323 at 19:33 and the EC 325 at 20:33. ({text})")]}


def _graph(node: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("work", node)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


booking = _graph(_ask)
timetable = _graph(_search)
AGENTS = "booking=tests.dashboard.sample_agents:booking,timetable=tests.dashboard.sample_agents:timetable"
