"""The agents' descriptions, from this process or from workers, and the checks of messages against them."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from ..errors import StoreError
from ..models.agents import AgentDescription
from ..models.inputs import NO_RUN_INPUT
from ..models.messages import NewMessage
from ..policy.agent_input import (
    Validator,
    check_context,
    check_input,
    check_nodes,
    check_text,
    takes_text,
    validator_of,
)
from .registry import AgentRegistry

CACHE_SECONDS = 5.0
"""How long the descriptions of other processes are used before they are read again."""


class DescriptionStore(Protocol):
    """The part of the store that keeps the agents' descriptions, published by worker processes."""

    async def list_agents(self) -> list[AgentDescription]:
        """Return the newest description of each agent, in the order of the names."""


PUBLISH_AGAIN_SECONDS = 1.0
"""Pause after the store has refused the descriptions of this process."""

RENEW_SECONDS = 3600.0
"""Interval at which a worker stores its descriptions again. The store deletes those that no worker renews."""

logger = logging.getLogger(__name__)


class KnownAgent:
    """An agent's description, prepared for the checks of many messages."""

    def __init__(self, description: AgentDescription) -> None:
        self.description = description
        self.takes_text = takes_text(description.input_schema)

    @cached_property
    def _input(self) -> Validator:
        return validator_of(self.description.input_schema)

    @cached_property
    def _context(self) -> Validator | None:
        schema = self.description.context_schema
        return None if schema is None else validator_of(schema)

    def check(self, new: NewMessage) -> None:
        """Check what a message gives. Raises InvalidInput, which names the field."""
        given = NO_RUN_INPUT if new.options is None else new.options.run
        if given.input is not None:
            check_input(self.description, given.input, self._input)
        elif not (self.takes_text or given.goes_on):
            check_text(self.description)
        if self.description.nodes:
            check_nodes(self.description.nodes, given)
        if given.context is not None:
            check_context(self.description, given.context, self._context)


class AgentDescriptions:
    """The descriptions of agents: those of this process, else those that workers have stored."""

    def __init__(
        self,
        registry: AgentRegistry,
        store: DescriptionStore | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._store = store
        self._monotonic = monotonic
        self._own: dict[str, KnownAgent] = {}
        self._stored: dict[str, KnownAgent] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def is_stale(self) -> bool:
        """Return whether the descriptions of other processes are to be read again by `refresh`."""
        return self._store is not None and self._monotonic() >= self._read_at + CACHE_SECONDS

    async def get(self, name: str) -> KnownAgent | None:
        """Return what is known of an agent, None if it is not loaded here and no worker has described it.

        Raises StoreUnavailable.
        """
        known = self.own(name)
        if known is None and self.is_stale:
            await self.refresh()
        return known or self.stored(name)

    def own(self, name: str) -> KnownAgent | None:
        """Return what is known of an agent that is loaded here; None if it is not."""
        own = self._registry.description_of(name)
        if own is None:
            return None
        known = self._own.get(name)
        if known is None or known.description is not own:
            known = self._own[name] = KnownAgent(own)
        return known

    def stored(self, name: str) -> KnownAgent | None:
        """Return the description of an agent that a worker had stored at the last `refresh`; None if there was none."""
        return self._stored.get(name)

    async def refresh(self) -> None:
        """Read the descriptions of other processes if they are stale. Raises StoreUnavailable."""
        async with self._reading:
            if self._store is not None and self.is_stale:
                found = await self._store.list_agents()
                self._stored = {each.name: self._again(each) for each in found}
                self._read_at = self._monotonic()

    def _again(self, description: AgentDescription) -> KnownAgent:
        """Return the known agent if its description is unchanged, otherwise a new KnownAgent."""
        known = self._stored.get(description.name)
        return known if known is not None and known.description == description else KnownAgent(description)


class PublishingStore(Protocol):
    """The part of the store that takes the descriptions of this process."""

    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        """Store descriptions, each in place of an earlier one with its name."""


class DescriptionPublisher:
    """Stores the descriptions of this process's agents, so that other processes can check inputs for them."""

    def __init__(
        self, registry: AgentRegistry, store: PublishingStore, *, renew_seconds: float = RENEW_SECONDS
    ) -> None:
        self._registry = registry
        self._store = store
        self._renew_seconds = renew_seconds
        self._stored: dict[str, AgentDescription] = {}
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Have `run` look for descriptions that have changed. Call this on the loop of `run`."""
        self._changed.set()

    async def run(self) -> None:
        """Store each description after it has changed, and all from time to time, until this is cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._renew_seconds):
                    await self._changed.wait()
            except TimeoutError:
                self._stored.clear()
            self._changed.clear()
            new = [each for each in self._registry.descriptions if self._stored.get(each.name) != each]
            if not new:
                continue
            try:
                await self._store.describe_agents(new)
                self._stored |= {each.name: each for each in new}
            except StoreError as error:
                logger.debug("The agents could not be described, trying again: %s", error)
                self._changed.set()
                await asyncio.sleep(PUBLISH_AGAIN_SECONDS)
