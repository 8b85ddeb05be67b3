"""Agents that call the tools of pages. Each finds them in another key of its state."""

from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import MessagesState as Messages
from typing_extensions import TypedDict

Update = dict[str, list[Any]]


class Properties(TypedDict):
    """The tools and context of a page, with keys of the agent's own, as CopilotKit's middleware declares it."""

    actions: list[Any]
    context: list[Any]
    intercepted_tool_calls: Any


class CopilotState(MessagesState):
    """A state with the key of CopilotKit."""

    copilotkit: Properties


AgUiState = TypedDict("AgUiState", {**Messages.__annotations__, "ag-ui": Properties}, total=False)  # type: ignore[misc]  # its keys are no names of Python


class ListState(MessagesState):
    """A state with a list of tools, as in the examples of AG-UI."""

    tools: list[Any]


class NamesState(MessagesState):
    """A state whose `tools` are something else."""

    tools: dict[str, str]


def _answered(messages: list[Any], tools: list[Any], context: list[Any]) -> Update:
    """Call the first tool, tell its result, or tell what the page gave."""
    if isinstance(messages[-1], ToolMessage):
        results = [each for each in messages if isinstance(each, ToolMessage)]
        return {"messages": [AIMessage(f"Result {len(results)}: {messages[-1].content}")]}
    about = "; ".join(f"{each['description']} = {each['value']}" for each in context)
    if not tools:
        return {"messages": [AIMessage(f"No tools. {about}")]}
    number = sum(isinstance(each, AIMessage) for each in messages)
    call = {"id": f"call_{number}", "name": tools[0]["name"], "args": {"colour": "red"}}
    return {"messages": [AIMessage(about, tool_calls=[call])]}


def of_copilot(state: CopilotState) -> Update:
    """Answer with what CopilotKit's key has. A call has no text beside it, and the key is written with it."""
    page: Any = state.get("copilotkit", {})
    update: Any = _answered(state["messages"], page.get("actions", []), page.get("context", []))
    (message,) = update["messages"]
    if message.tool_calls:
        message.content = ""
        update["copilotkit"] = {"intercepted_tool_calls": None}
    return dict(update)


def of_ag_ui(state: Any) -> Update:
    """Answer with what AG-UI's key has."""
    page = state.get("ag-ui") or {}
    return _answered(state["messages"], page.get("tools", []), page.get("context", []))


def of_list(state: ListState) -> Update:
    """Answer with the list of tools."""
    return _answered(state["messages"], state.get("tools", []), [])


def of_names(state: NamesState) -> Update:
    """Tell the agent's own tools."""
    return _answered(state["messages"], [], [{"description": "own", "value": state.get("tools")}])


def _graph(state: Any, answer: Any) -> Any:
    builder = StateGraph(state)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile()


copilot = _graph(CopilotState, of_copilot)
ag_ui = _graph(AgUiState, of_ag_ui)
listed = _graph(ListState, of_list)
names = _graph(NamesState, of_names)
