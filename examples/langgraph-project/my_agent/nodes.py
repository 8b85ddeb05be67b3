"""What the graphs do. No model is needed."""

import os

from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState


def greet(state: MessagesState) -> dict[str, list[AIMessage]]:
    """Greet by the name that the newest message gives."""
    greeting = os.environ.get("GREETING", "Good day")
    return {"messages": [AIMessage(f"{greeting}, {state['messages'][-1].text}!")]}
