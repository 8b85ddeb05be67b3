"""A graph that is made once."""

from langgraph.graph import END, START, MessagesState, StateGraph

from my_agent.nodes import greet

builder = StateGraph(MessagesState)
builder.add_node(greet)
builder.add_edge(START, "greet")
builder.add_edge("greet", END)
graph = builder.compile()
