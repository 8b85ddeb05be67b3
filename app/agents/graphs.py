"""Makes agents from graphs, and from factories: functions that make a graph for each run.

Factories are called as LangGraph's own server calls them. They get the config or the runtime if their parameters ask
for it. They return a graph or a context manager around a graph, and may be coroutine functions. A factory without
parameters is also called while it is loaded, to report its errors before messages arrive.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from typing_extensions import override

from ..errors import AgentUnavailable
from ..models.agents import AgentDescription
from ..models.inputs import ShownEvent
from ..models.memory import AgentMemory
from ..models.parts import Part
from ..policy.agent_input import ANY_OBJECT
from .annotations import docstring_of
from .base import Agent, AgentDrained, AgentInterrupted, AgentTask, Conversation, FinalResult, Redact, StateAccess
from .item_store import ItemStoreFactory
from .langgraph import LangGraphAgent
from .run_config import config_of
from .schemas import describe_graph
from .thread_states import GraphStates

if TYPE_CHECKING:
    from langgraph_sdk.runtime import ServerRuntime

Graph = Pregel[Any, Any, Any, Any]
Argument = Literal["config", "runtime"]


async def agent_of(
    found: object,
    path: str,
    checkpointer: BaseCheckpointSaver[Any],
    description: str = "",
    store_of: ItemStoreFactory | None = None,
) -> Agent:
    """Return the agent for `found`, the object that the setting `path` names.

    `description` is the operator's. It replaces a docstring. `store_of` makes the stores of graphs. Raises
    AgentUnavailable, or whatever a factory raises.
    """
    if isinstance(found, Pregel | StateGraph):
        return LangGraphAgent(_compiled(found, path), checkpointer, description, store_of=store_of)
    if not callable(found):
        raise _no_graph(found, path)
    factory = GraphFactory(found, path, store_of)
    graph = await factory.prepare()
    return FactoryAgent(factory, checkpointer, graph, description or docstring_of(found))


class GraphFactory:
    """A function that makes a graph for one run. The constructor raises AgentUnavailable for unknown parameters."""

    def __init__(self, factory: Callable[..., Any], path: str, store_of: ItemStoreFactory | None = None) -> None:
        self._factory = factory
        self._path = path
        self.store_of = store_of
        self._positional: list[Argument] = []
        self._named: dict[str, Argument] = {}
        self._prepared: Graph | None = None
        parameters = _parameters_of(factory)
        required = [each for each in parameters if each.default is each.empty]
        for parameter in parameters:
            wanted = _argument_of(parameter)
            if wanted is None and required == [parameter]:
                wanted = "config"  # a single parameter of any name and type is the config
            if wanted is None and parameter in required:
                raise AgentUnavailable(
                    f"{path} takes a parameter {parameter.name!r} that is unknown. A function that makes a graph may "
                    "take one annotated as RunnableConfig and one annotated as ServerRuntime."
                )
            if wanted is not None and parameter.kind is parameter.POSITIONAL_ONLY:
                self._positional.append(wanted)
            elif wanted is not None:
                self._named[parameter.name] = wanted

    @property
    def takes_context(self) -> bool:
        """Return whether the factory gets the message's context, in the runtime."""
        return "runtime" in (*self._positional, *self._named.values())

    async def prepare(self) -> Graph | None:
        """Make the graph of the first run in advance, if the factory takes no arguments and returns no context manager.

        Otherwise return None. Raises AgentUnavailable if the factory returns no graph, or whatever it raises.
        """
        if not (self._positional or self._named):
            made = await self._call()
            if not any(hasattr(type(made), enter) for enter in ("__aenter__", "__enter__")):
                self._prepared = _compiled(made, self._path)
        return self._prepared

    @asynccontextmanager
    async def opened(self, config: Callable[[], object], runtime: Callable[[], object]) -> AsyncIterator[Graph]:
        """Yield a graph, then close the factory's context manager if it returned one.

        `config` and `runtime` make the arguments that the factory takes. Raises AgentUnavailable if the factory returns
        no graph, or whatever it raises.
        """
        made: Any = self._prepared
        self._prepared = None
        if made is None:
            given: dict[Argument, Callable[[], object]] = {"config": config, "runtime": runtime}
            positional = [given[wanted]() for wanted in self._positional]
            made = await self._call(*positional, **{name: given[wanted]() for name, wanted in self._named.items()})
        async with AsyncExitStack() as context:
            if hasattr(type(made), "__aenter__"):
                made = await context.enter_async_context(made)
            elif hasattr(type(made), "__enter__"):
                made = context.enter_context(made)
            yield _compiled(made, self._path)

    def runtime_of(self, task: AgentTask) -> "ServerRuntime[Any]":
        """Return the runtime of a run. It has the message's context as it was given, the run's store, and no user."""
        from langgraph_sdk.runtime import _ExecutionRuntime

        store = None if self.store_of is None else self.store_of(task.tenant, task.lease)
        return _ExecutionRuntime(
            access_context="threads.create_run", user=None, store=cast(Any, store), context=task.given.context
        )

    async def _call(self, *positional: object, **named: object) -> Any:
        made = self._factory(*positional, **named)
        return await made if inspect.isawaitable(made) else made


class FactoryAgent(Agent):
    """An agent whose factory makes a graph for each run.

    `first` is the first run's graph if the factory was called when it was loaded. Its schemas describe the agent.
    Without `first`, the agent takes any object, and each run's own graph checks its input.

    A context manager that the factory returned is closed before the FinalResult is yielded. It sees no error if the run
    drains or asks a human.
    """

    def __init__(
        self,
        factory: GraphFactory,
        checkpointer: BaseCheckpointSaver[Any],
        first: Graph | None = None,
        description: str = "",
    ) -> None:
        self._factory = factory
        self._checkpointer = checkpointer
        self._description = (
            AgentDescription(
                name="",
                description=description,
                input_schema=ANY_OBJECT,
                output_schema={},
                context_schema=ANY_OBJECT,
                events=tuple(ShownEvent),
            )
            if first is None
            else describe_graph(first, "", description)
        )

    @override
    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        answer: FinalResult | None = None
        ended: Exception | None = None
        async with self._factory.opened(lambda: config_of(task), lambda: self._factory.runtime_of(task)) as graph:
            agent = LangGraphAgent(
                graph,
                self._checkpointer,
                takes_any_context=self._factory.takes_context,
                store_of=self._factory.store_of,
            )
            try:
                async with aclosing(agent.run(task)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, FinalResult):
                            answer = piece
                            break
                        yield piece
            except (AgentDrained, AgentInterrupted) as end:
                ended = end
            except Exception as error:
                ended = error  # raised again if the factory's context swallows it
                raise
        if ended is not None:
            raise ended
        if answer is not None:
            yield answer

    @override
    def describe(self, name: str) -> AgentDescription:
        return self._description.model_copy(update={"name": name})

    @override
    @asynccontextmanager
    async def open_states(
        self, conversation: Conversation, access: StateAccess, redact: Redact
    ) -> AsyncIterator[GraphStates]:
        config = {"configurable": {"thread_id": conversation.memory_key}, "metadata": {}}
        store_of = self._factory.store_of
        store = None if store_of is None else store_of(conversation.tenant, None)
        async with self._factory.opened(lambda: config, lambda: _runtime_without_run(access, store)) as graph:
            own = {"checkpointer": self._checkpointer, "store": graph.store or store}
            yield GraphStates(graph.copy(update=own), conversation, redact)

    @override
    async def fence_off(self, task: AgentTask) -> None:
        message, fence = task.memory_fence  # the next attempt's fence is higher than this one
        memory = cast(AgentMemory, self._checkpointer)
        await memory.forget_messages(task.memory_key, (message, fence + 1), ())


def _compiled(found: object, path: str) -> Graph:
    if isinstance(found, StateGraph):
        found = found.compile()
    if not isinstance(found, Pregel):
        raise _no_graph(found, path)
    return found


def _no_graph(found: object, path: str) -> AgentUnavailable:
    # A function that meant to answer took the config for the message's text, and returned it.
    hint = (
        " An async function that answers messages itself needs the annotation `-> str`."
        if isinstance(found, str | dict)
        else ""
    )
    if inspect.isgenerator(found):
        hint = " A function that yields its graph needs the decorator `contextlib.contextmanager`."
    return AgentUnavailable(
        f"{path} is or makes a value of the type `{type(found).__name__}`, expected a LangGraph graph or a function "
        f"making one.{hint}"
    )


def _parameters_of(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a factory; evaluate annotations that are text if possible."""
    try:
        signature = inspect.signature(factory, eval_str=True)
    except Exception:  # noqa: BLE001  names imported for type checkers only, or no signature
        try:
            signature = inspect.signature(factory)
        except (TypeError, ValueError):
            return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each for each in signature.parameters.values() if each.kind not in variable]


def _argument_of(parameter: inspect.Parameter) -> Argument | None:
    """Return the argument for a parameter; None if neither annotation nor name identifies it."""
    annotation = str(parameter.annotation)
    if "RunnableConfig" in annotation:
        return "config"
    if "Runtime" in annotation:
        return "runtime"
    return cast(Argument, parameter.name) if parameter.name in ("config", "runtime") else None


def _runtime_without_run(access: StateAccess, store: BaseStore | None) -> "ServerRuntime[Any]":
    """Return the runtime for making a graph that only reads or changes a state. It has no context and no user."""
    from langgraph_sdk.runtime import _ReadRuntime

    return _ReadRuntime(access_context=access.value, user=None, store=cast(Any, store))
