"""Agents of every kind that keep items in LangGraph's store."""

from collections.abc import Sequence
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_store
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedStore
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import ServerRuntime

NOTES = ("notes",)


def said(text: object) -> dict[str, Any]:
    """The update of a node that answers."""
    return {"messages": [AIMessage(str(text))]}


def graph_of(node: Any, **options: Any) -> Any:
    """A graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(**options)


def noted(store: BaseStore, text: str) -> str:
    """Keep a text with those before it, by synchronous calls, and return them all."""
    store.put(NOTES, text, {"text": text, "length": len(text)})
    assert store.get(NOTES, text).value["length"] == len(text)  # type: ignore[union-attr]  # else the run fails
    found = store.search(NOTES, filter={"length": {"$gt": 0}}, limit=100)
    assert store.list_namespaces(prefix=NOTES) == [NOTES]
    return " ".join(sorted(each.key for each in found))


def in_thread(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """A synchronous node, which runs on a thread."""
    assert runtime.store is not None
    return said(noted(runtime.store, state["messages"][-1].text))


async def in_loop(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """A node on the event loop of the agents."""
    store, text = runtime.store, state["messages"][-1].text
    assert store is not None
    await store.aput(NOTES, text, {"text": text, "length": len(text)})
    await store.adelete(NOTES, "unknown")
    found = await store.asearch(NOTES, limit=100)
    assert await store.alist_namespaces() == [NOTES]
    return said(" ".join(sorted(each.key for each in found)))


async def blocking(state: MessagesState) -> dict[str, Any]:
    """A node on the event loop of the agents that calls synchronously."""
    return said(noted(get_store(), state["messages"][-1].text))


sync_node, async_node, blocking_node = graph_of(in_thread), graph_of(in_loop), graph_of(blocking)
subgraph = graph_of(graph_of(in_thread))


@tool
def take_note(text: str, store: Annotated[Any, InjectedStore()]) -> str:
    """Take a note."""
    return noted(store, text)


class Model(FakeMessagesListChatModel):
    """A model that takes a note."""

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        """Take the tools as they are."""
        return self


def _agent() -> Any:
    call = {"name": "take_note", "args": {"text": "tool"}, "id": "1"}
    return create_agent(Model(responses=[AIMessage("", tool_calls=[call]), AIMessage("Noted.")]), [take_note])


agent = _agent()


@entrypoint()
def functional(text: str, *, store: BaseStore) -> str:
    """An entrypoint of the functional API."""
    return noted(store, text)


async def function(text: str, store: Any) -> str:
    """A plain function."""
    await store.aput(NOTES, text, {"text": text, "length": len(text)})
    return " ".join(sorted(each.key for each in await store.asearch(NOTES, limit=100)))


async def factory(runtime: ServerRuntime[Any]) -> Any:
    """A factory that reads the store before it makes its graph."""
    known = await runtime.store.asearch(NOTES, limit=100)

    def node(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
        assert runtime.store is not None
        return said(f"{len(known)}: {noted(runtime.store, state['messages'][-1].text)}")

    return graph_of(node)


own_store = graph_of(in_thread, store=InMemoryStore())


def quiet(_: MessagesState) -> dict[str, Any]:
    """A node that adds nothing."""
    return {"messages": []}


def routed_by(route: Any, **options: Any) -> Any:
    """A graph whose second node runs if the edge after the first one says so."""
    builder: Any = StateGraph(MessagesState)
    builder.add_node("first", quiet)
    builder.add_node("second", quiet)
    builder.add_edge(START, "first")
    builder.add_conditional_edges("first", route, ["second", END])
    return builder.compile(**options)


async def by_runtime(_: MessagesState, runtime: Runtime[Any]) -> str:
    """An edge that looks for a note on the event loop of the agents."""
    assert runtime.store is not None
    return "second" if await runtime.store.aget(NOTES, "go on") else END


def by_store(_: MessagesState, store: BaseStore) -> str:
    """A synchronous edge that takes a note."""
    return "second" if noted(store, "mine") == "mine" else END


routed, own_routed = routed_by(by_runtime), routed_by(by_store, store=InMemoryStore())


def broken(_: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """Store what no store of data can hold."""
    assert runtime.store is not None
    runtime.store.put(NOTES, "k", {"deep": [object()]})
    return said("never")


unstorable = graph_of(broken)


def expiring(_: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """Store what expires."""
    assert runtime.store is not None
    runtime.store.put(NOTES, "default", {})
    runtime.store.put(NOTES, "never", {}, ttl=None)
    runtime.store.put(NOTES, "soon", {}, ttl=0.001)
    return said("done")


expires = graph_of(expiring)
