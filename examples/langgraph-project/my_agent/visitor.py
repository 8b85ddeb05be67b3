"""A graph that is made for each run, with something that is open as long as the run lasts."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph

from .nodes import greet


@asynccontextmanager
async def make_graph(config: RunnableConfig) -> AsyncIterator[StateGraph[Any]]:
    """Make the graph; a client or a session of tools would be opened in the place of the folder."""
    with tempfile.TemporaryDirectory() as folder:

        def sign(state: MessagesState) -> dict[str, list[AIMessage]]:
            book = Path(folder, "visitors.txt")
            book.write_text(f"{state['messages'][-1].text}\n")
            run = config["configurable"]["run_id"]
            return {"messages": [AIMessage(f"{book.read_text().strip()} You are in the book of run {run}.")]}

        builder = StateGraph(MessagesState)
        builder.add_node(greet)
        builder.add_node(sign)
        builder.add_edge(START, "greet")
        builder.add_edge("greet", "sign")
        builder.add_edge("sign", END)
        yield builder
