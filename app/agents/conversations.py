"""Gives other parts of the process access to the states of conversations, through the agents that made them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import AgentQueueError, AgentUnavailable
from ..errors.threads import AgentCodeFailed
from ..policy.failures import class_name, described
from .base import Conversation, ConversationStates, StateAccess
from .loop import AgentLoop
from .registry import AgentRegistry

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOAD_SECONDS = 20.0
"""How long a request may wait for the agents to be loaded."""

ANSWER_SECONDS = 30.0
"""How long a call may take. It may run code of the agent, such as reducers."""


class Conversations:
    """Opens conversations on the agents' event loop.

    `load` starts to load the agents unless this was done before, and returns the task. A process without a worker loads
    them for the first conversation.
    """

    def __init__(self, loop: AgentLoop, registry: AgentRegistry, load: Callable[[], "asyncio.Task[None]"]) -> None:
        self._loop = loop
        self._registry = registry
        self._load = load

    async def call(
        self,
        conversation: Conversation,
        access: StateAccess,
        work: Callable[[ConversationStates], Awaitable[T]],
    ) -> T:
        """Return the result of `work`, which gets the conversation's states on the agents' event loop.

        Raises AgentUnavailable if the agent is not loaded or does not answer in time. Raises AgentWithoutState if it
        keeps no states, and AgentCodeFailed if its code fails. Raises StoreError if the memory cannot be used, and any
        AgentQueueError of `work`.
        """
        name = conversation.agent
        if name not in self._registry.available:
            await asyncio.wait({self._load()}, timeout=LOAD_SECONDS)
        agent = self._registry.get(name)
        if self._loop.obstacle:
            raise AgentUnavailable(f"Agent {name!r} cannot answer now. {self._loop.obstacle}")

        async def open_and_work() -> T:
            try:
                async with agent.open_states(conversation, access, self._registry.redact) as states:
                    return await work(states)
            except (AgentQueueError, asyncio.CancelledError):
                raise
            except BaseException as error:  # noqa: BLE001  an agent's code may raise anything
                logger.warning("The code of an agent failed: agent=%s, error=%s", name, class_name(error))
                raise AgentCodeFailed(name, self._registry.redact(described(error))) from None

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._loop.call(open_and_work)
        except TimeoutError:
            raise AgentUnavailable(f"Agent {name!r} did not answer within {ANSWER_SECONDS:g} seconds.") from None
