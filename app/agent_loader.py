"""Loads the agents that the settings name, and opens their memory."""

import asyncio
import importlib
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, cast

from .agents.base import Agent
from .agents.embedded import EmbeddedModel
from .agents.functions import FunctionAgent, is_answering, takes_store
from .agents.import_path import load_attribute, make_importable
from .agents.loop import AgentLoop
from .agents.memory import LazyMemory, MemoryOnLoop
from .agents.registry import AgentRegistry, Loader
from .checkpoints.factory import checkpoint_url, open_saver, saver_opener
from .config import Settings
from .errors import StoreUnavailable
from .models.memory import AgentMemory
from .policy.state_types import wrong_names
from .store.ports import Store

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from .agents.item_store import ItemStoreFactory
    from .checkpoints.saver import FencedSaver

logger = logging.getLogger(__name__)

MAX_EMBEDDED_PARALLEL = 4
PROVE_MEMORY_SECONDS = 3.0
CLOSE_MEMORY_SECONDS = 1.0


class AgentLoader:
    """Loads the agents and their memory. It imports LangGraph, which takes seconds, after the port is open."""

    def __init__(self, settings: Settings, store: Store, loop: AgentLoop, redact: Callable[[str], str]) -> None:
        self._settings = settings
        self._loop = loop
        self._loading: asyncio.Task[None] | None = None
        self._store_loop: asyncio.AbstractEventLoop | None = None
        self._checkpoint_url = checkpoint_url(settings)
        self._store = store
        self._resources = AsyncExitStack()
        self._saver: FencedSaver | None = None
        self._opening = asyncio.Lock()
        self._lazy_memory = LazyMemory(self._open_memory)
        self._embedded = EmbeddedModel()
        loaders: dict[str, Loader] = {name: self._loader(name, path) for name, path in settings.graph_paths.items()}
        self.registry = AgentRegistry(loaders or {"chat": self._load_chat}, redact, settings.version_of)

    @property
    def memory(self) -> AgentMemory | None:
        """Return the agents' memory; None until the first agent is loaded."""
        memory = self._saver or (self._lazy_memory if self.registry.available else None)
        return None if memory is None else MemoryOnLoop(self._loop, memory)

    def open_memory(self) -> AgentMemory:
        """Return the agents' memory, which is opened by the first call that needs it."""
        self._store_loop = asyncio.get_running_loop()
        return MemoryOnLoop(self._loop, self._saver or self._lazy_memory)

    def load(self) -> "asyncio.Task[None]":
        """Begin to load the agents, unless this was done before. Return the task, which `stop` cancels."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="load agents")
        return self._loading

    async def stop(self) -> None:
        """Stop loading the agents."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _load(self) -> None:
        """Load the agents on their own event loop, which then owns what they create."""
        self._store_loop = asyncio.get_running_loop()
        project = self._settings.project
        for folder in project.folders:
            make_importable(folder)
        for warning in project.warnings:
            logger.warning("In %s: %s", self._settings.langgraph_config, warning)
        await self._loop.call(self.registry.load)
        self.registry.loaded.set()
        # The modules of agents may be importable only after the agents are loaded.
        for name, reason in (await asyncio.to_thread(wrong_names, self._settings.allowed_state_types)).items():
            logger.warning("ALLOWED_STATE_TYPES has a name that allows nothing: %s, %s", name, reason)

    async def prove_memory(self) -> None:
        """Check that the agents' memory can be used. Do nothing before it is open or while the agents' loop is blocked.

        Raises StoreError.
        """
        saver = self._saver
        if saver is None or self._loop.blocked:
            return
        try:
            async with asyncio.timeout(PROVE_MEMORY_SECONDS):
                await self._loop.call(saver.ping)
        except TimeoutError:
            if not self._loop.blocked:
                raise StoreUnavailable("The agents' memory does not answer.") from None

    async def close(self) -> None:
        """Close the agents' memory, unless the agents' event loop is blocked."""
        if self._loop.blocked:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_MEMORY_SECONDS):
                await self._loop.call(self._resources.aclose)

    async def _queue_id(self) -> str:
        """Return the queue's id from the store's loop. Call this on the agents' loop. Raises StoreUnavailable."""
        assert self._store_loop is not None, "agents are being loaded"
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._store.queue_id(), self._store_loop))

    def _loader(self, name: str, path: str) -> Loader:
        project = self._settings.project
        description = project.descriptions.get(name, "") if project.graphs.get(name) == path else ""

        async def load() -> Agent:
            await self._queue_id()
            found = await load_attribute(path, self._settings.project.folders)
            if is_answering(found):
                answer = cast(Callable[..., Any], found)
                return FunctionAgent(answer, description, await self._item_stores() if takes_store(answer) else None)
            await asyncio.to_thread(_import, "graphs")
            from .agents.graphs import agent_of

            return await agent_of(found, path, await self._open_memory(), description, await self._item_stores())

        return load

    async def _item_stores(self) -> "ItemStoreFactory":
        """Return what makes the stores of runs and of changes of states."""
        await asyncio.to_thread(_import, "item_store")
        from .agents.item_store import Items

        assert self._store_loop is not None, "agents are being loaded"
        settings = self._settings
        return Items(self._store, self._store_loop, settings.project.item_ttl, settings.max_body_bytes).store_of

    async def _load_chat(self) -> Agent:
        await self._queue_id()  # raises while the store is unavailable, before steps that run only once
        settings = self._settings
        importing = asyncio.to_thread(_import, "builtin", "langgraph", "model_client")
        if settings.uses_embedded_model:
            parallel = max(1, min(settings.worker_concurrency, MAX_EMBEDDED_PARALLEL))
            endpoint, _ = await asyncio.gather(self._embedded.start(parallel), importing)
            from .agents.builtin import embedded_chat

            graph = await embedded_chat(endpoint, self._open_client())
        else:
            await importing
            from .agents.builtin import hosted_chat

            key = settings.openai_api_key
            graph = await hosted_chat(
                settings.model_name,
                key.get_secret_value() if key else None,
                settings.openai_base_url,
                self._open_client(),
            )
        from .agents.langgraph import LangGraphAgent

        return LangGraphAgent(graph, await self._open_memory(), store_of=await self._item_stores())

    def _open_client(self) -> "AsyncClient":
        """Return an HTTP client for the built-in agent's model. It is closed with the memory."""
        from .agents.model_client import model_client

        client = model_client()
        self._resources.push_async_callback(client.aclose)
        return client

    async def _open_memory(self) -> "FencedSaver":
        async with self._opening:
            if self._saver is None:
                await asyncio.to_thread(saver_opener, self._checkpoint_url)
                self._saver = await self._resources.enter_async_context(
                    open_saver(
                        self._checkpoint_url,
                        await self._queue_id(),
                        self._settings.allowed_state_types,
                        self._settings.checkpoint_history,
                    )
                )
            return self._saver


def _import(*modules: str) -> None:
    """Import modules of the agents before they are used. Call this on a thread, since LangGraph takes seconds."""
    for module in modules:
        importlib.import_module(f".agents.{module}", __package__)
