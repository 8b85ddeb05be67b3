"""The agents of this process: their names at once, the agents themselves when they are loaded."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from app.agents.base import Agent
from app.errors import AgentUnavailable, InvalidRequest, StoreUnavailable
from app.failures import described

logger = logging.getLogger(__name__)

LOAD_AGAIN_SECONDS = 1.0
TELL_SECONDS = 5.0

Loader = Callable[[], Awaitable[Agent]]


class AgentRegistry:
    """Agents by name. The first name is the default. Loading may fail for some; the others serve."""

    def __init__(self, loaders: Mapping[str, Loader], redact: Callable[[str], str]) -> None:
        self._loaders = dict(loaders)
        self._redact = redact
        self._agents: dict[str, Agent] = {}
        self._failures: dict[str, str] = {}
        self.loaded = asyncio.Event()
        self.waits_for: str | None = None
        """Why loading takes longer than usual, as anybody may be told; None when it does not."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every configured agent."""
        return tuple(self._loaders)

    @property
    def available(self) -> tuple[str, ...]:
        """The agents that can be run now."""
        return tuple(self._agents)

    @property
    def failures(self) -> dict[str, str]:
        """Why agents could not be loaded, by name; without secrets."""
        return dict(self._failures)

    def resolve(self, name: str | None) -> str:
        """The name to store with a message. Raises InvalidRequest with the names that exist."""
        if name is None:
            return self.names[0]
        if name not in self._loaders:
            raise InvalidRequest(
                f"There is no agent {name!r}. Agents of this server: {', '.join(self.names)}.",
                field="agent",
                code="unknown_agent",
            )
        return name

    def get(self, name: str) -> Agent:
        """The loaded agent. Raises AgentUnavailable."""
        try:
            return self._agents[name]
        except KeyError:
            raise AgentUnavailable(f"Agent {name!r} is not available: {self._failures.get(name, 'unknown')}") from None

    async def load(self) -> None:
        """Load all agents, one after the other; what fails is logged and reported, and loses no message.

        The caller sets `loaded` on its own loop, since this may run on another one.
        """
        for name, loader in self._loaders.items():
            try:
                self._agents[name] = await self._load_when_possible(loader)
                logger.info("Agent loaded: name=%s", name)
            except BaseException as error:  # whatever a user's module raises must not end the server
                if _is_being_cancelled():
                    raise
                self._failures[name] = self._redact(described(error))
                logger.exception("Agent could not be loaded, its messages stay queued: name=%s", name)
            finally:
                self.waits_for = None

    async def _load_when_possible(self, loader: Loader) -> Agent:
        """The agent; while the store is away or its memory cannot be used, later."""
        tell_at = 0.0
        while True:
            try:
                return await loader()
            except StoreUnavailable as error:
                self.waits_for = error.public
                if time.monotonic() >= tell_at:
                    tell_at = time.monotonic() + TELL_SECONDS
                    logger.warning("Agent not loaded yet, trying again: %s", self._redact(str(error)))
                await asyncio.sleep(LOAD_AGAIN_SECONDS)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
