"""Holds the agents of this process. Their names are known from the start, the agents themselves after loading."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from ..errors import AgentQueueError, AgentUnavailable, InvalidRequest, StoreUnavailable
from ..models.agents import AgentDescription
from ..models.workers import AgentState, ServedAgent
from ..observability.logging import TRACEBACK
from ..policy.agent_input import usable
from ..policy.failures import described
from ..policy.tracebacks import own_place_of, traceback_of
from .base import Agent
from .import_path import hint_for
from .loop import LOADING_TASK

logger = logging.getLogger(__name__)

LOAD_AGAIN_SECONDS = 1.0
LOG_SECONDS = 30.0
"""Minimum interval between two log lines about an agent that is not loaded yet."""

MAX_LOAD_DELAY_SECONDS = 10.0
"""How long the loading of one agent may delay the loading of the next."""

MAX_ERROR_LENGTH = 500
"""Maximum characters of a load error."""

MAX_ERRORS_LENGTH = 8_000
"""Maximum characters of all load errors together. Each worker stores them."""

Loader = Callable[[], Awaitable[Agent]]


class AgentRegistry:
    """Agents by name; the first name is the default. Agents that cannot be loaded do not stop the others.

    `version_of` returns the version of an agent by its name, None if it has none.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        redact: Callable[[str], str],
        version_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._loaders = dict(loaders)
        self.versions = {name: version for name in loaders if (version := version_of(name)) is not None}
        """The agents' versions by name, without agents that have none."""
        self.redact = redact
        self._agents: dict[str, Agent] = {}
        self._descriptions: dict[str, AgentDescription] = {}
        self._failures: dict[str, str] = {}
        self._on_change: Callable[[], None] = lambda: None
        self.loaded = asyncio.Event()
        """Set when loading of every agent has been tried. The caller of `load` sets it on its own loop."""
        self.waits_for: str | None = None
        """Why loading has to wait, without secrets; None if it does not wait."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all configured agents."""
        return tuple(self._loaders)

    @property
    def default(self) -> str:
        """Return the name of the agent for messages that name no agent."""
        return next(iter(self._loaders))

    @property
    def available(self) -> tuple[str, ...]:
        """Return the names of the agents that can run now."""
        return tuple(self._agents)

    @property
    def descriptions(self) -> tuple[AgentDescription, ...]:
        """Return what the loaded agents take, return and show. Safe from any thread."""
        return tuple(self._descriptions.copy().values())

    def description_of(self, name: str) -> AgentDescription | None:
        """Return what an agent takes, returns and shows; None if it is not loaded here."""
        return self._descriptions.get(name)

    @property
    def failures(self) -> dict[str, str]:
        """Return the reason, without secrets, for each agent that could not be loaded, by name."""
        return dict(self._failures)

    @property
    def states(self) -> tuple[ServedAgent, ...]:
        """Return every configured agent with its state. Safe to use from any thread."""
        return tuple(map(self._state_of, self._loaders))

    def _state_of(self, name: str) -> ServedAgent:
        version = self.versions.get(name)
        if name in self._agents:
            return ServedAgent(name=name, state=AgentState.AVAILABLE, version=version)
        if (error := self._failures.get(name)) is not None:
            return ServedAgent(name=name, state=AgentState.FAILED, error=error, version=version)
        return ServedAgent(name=name, state=AgentState.LOADING, version=version)

    def on_change(self, call: Callable[[], None]) -> None:
        """Set the function that is called, on the loop that loads agents, after an agent's state has changed."""
        self._on_change = call

    def resolve(self, name: str | None, allowed: frozenset[str] | None = None) -> str:
        """Return the agent name to store with a message. None means the default.

        `allowed` has the agents that the caller may use, None all. The default is then one of them. Raises
        InvalidRequest, with the names that the caller may use, for any other name.
        """
        if name is None and allowed is None:
            return self.default
        names = self.names if allowed is None else tuple(each for each in self.names if each in allowed)
        if name is None and names:
            return self.default if self.default in names else names[0]
        if name is None or name not in names:
            raise InvalidRequest(
                f"There is no agent {name!r}. Agents of this server: {', '.join(names)}.",
                field="agent",
                code="unknown_agent",
            )
        return name

    def get(self, name: str) -> Agent:
        """Return the agent. Raises AgentUnavailable if it is not loaded."""
        try:
            return self._agents[name]
        except KeyError:
            raise AgentUnavailable(f"Agent {name!r} is not available: {self._failures.get(name, 'unknown')}") from None

    async def load(self) -> None:
        """Load all agents in order. Log and report failures; messages for failed agents stay queued.

        A hanging agent delays the next agent by at most MAX_LOAD_DELAY_SECONDS. The event `loaded` belongs to the
        caller's loop, but this coroutine may run on another loop. The caller therefore sets `loaded` afterwards.
        """
        loading: set[asyncio.Task[None]] = set()
        try:
            for name, loader in self._loaders.items():
                loading.add(task := asyncio.create_task(self._load(name, loader), name=f"{LOADING_TASK}{name}"))
                await asyncio.wait({task}, timeout=MAX_LOAD_DELAY_SECONDS)
            await asyncio.gather(*loading)
        finally:
            for task in loading:
                task.cancel()

    async def _load(self, name: str, loader: Loader) -> None:
        try:
            agent = await self._load_when_possible(loader)
            description = usable(agent.describe(name))
            self._descriptions[name] = description.model_copy(update={"version": self.versions.get(name)})
            self._agents[name] = agent
            logger.info("Agent loaded: name=%s", name)
        except BaseException as error:  # a user's module may raise anything, and must not end the server
            if issubclass(type(error), asyncio.CancelledError) and _is_cancelled():
                raise
            self._failures[name] = text = self._error_text(error)
            logger.error(
                "Agent could not be loaded, its messages stay queued until the server is started again: "
                "name=%s, error=%s",
                name,
                text,
                extra={TRACEBACK: self._traceback_of(error)},
            )
        finally:
            self.waits_for = None
        self._on_change()

    def _error_text(self, error: BaseException) -> str:
        """Return a load error on one line, with its place in the user's code and advice."""
        most = min(MAX_ERROR_LENGTH, MAX_ERRORS_LENGTH // max(1, len(self._loaders)))
        text = " ".join(self.redact(described(error)).split())
        place, hint = own_place_of(error), hint_for(error)
        more = "" if place is None or _is_ours(error) else f" ({place})"
        if hint:
            more += f"{'' if not more and text.endswith('.') else '.'} {hint}"
        more = more if len(more) <= most // 2 else ""
        most -= len(more)
        return (text if len(text) <= most else text[: most - 1] + "…") + more

    def _traceback_of(self, error: BaseException) -> str | None:
        return None if _is_ours(error) else traceback_of(error, lambda text, limit: self.redact(text)[:limit])

    async def _load_when_possible(self, loader: Loader) -> Agent:
        """Load and return the agent. Try again while the store or the agents' memory is unavailable."""
        log_at = 0.0
        while True:
            try:
                return await loader()
            except StoreUnavailable as error:
                self.waits_for = error.state
                if time.monotonic() >= log_at:
                    log_at = time.monotonic() + LOG_SECONDS
                    logger.warning("Agent not loaded yet, trying again: %s", self.redact(str(error)))
                await asyncio.sleep(LOAD_AGAIN_SECONDS)


def _is_ours(error: BaseException) -> bool:
    """Return whether this server raised the error. The text of such an error needs no place or traceback."""
    return issubclass(type(error), AgentQueueError)


def _is_cancelled() -> bool:
    """Return whether this task was cancelled. If not, user code raised the CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
