"""A graph that does with its state what a message says."""

import math
import threading
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests import state_classes as classes

ODD = {"nan": math.nan, "half": "\ud83d", "bytes": b"\x00", "set": {2, 1}, "large": 2**70, "plan": classes.Plan({1: 2})}
"""Values that JSON has no place for."""

SHOWN = {"nan": None, "half": "?", "bytes": "AA==", "set": [1, 2], "large": 2**70, "plan": {"steps": {"1": 2}}}
"""How readers get them."""


class Work(MessagesState, total=False):
    """A state with a value of any kind."""

    value: Any


async def work(state: Work) -> dict[str, Any]:
    """Do what the message says."""
    match state["messages"][-1].text:
        case "make":
            return {"value": classes.Plan("three steps")}
        case "lock":
            return {"value": {"locks": [threading.Lock()]}}
        case "use":
            return {"messages": [AIMessage(state["value"].steps)]}
        case "ask":
            return {"value": interrupt(ODD)}
        case "call":
            return {"messages": [AIMessage("", tool_calls=[{"id": "1", "name": "look", "args": ODD}])]}
    return {}


async def tell(state: Work) -> dict[str, Any]:
    """Answer with what the state has."""
    return {"messages": [AIMessage(ascii(state.get("value")))]}


builder = StateGraph(Work)
builder.add_node("work", work)
builder.add_node("tell", tell)
builder.add_edge(START, "work")
builder.add_edge("work", "tell")
builder.add_edge("tell", END)
graph = builder.compile()
