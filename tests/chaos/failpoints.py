"""Processes that die at an exact spot. `arm` is called in a process before the application starts in it."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app import agent_loader, bootstrap
from app.checkpoints.known_lists import Conversation
from app.checkpoints.saver import FencedSaver
from app.config import Settings
from app.models.messages import NewMessage
from app.store import factory, parts
from app.store.parts import Cleared, ThreadKey
from app.store.ports import Store
from app.store.redis import accept as redis
from app.store.sql import accept as sql

EXIT_CODE = 9
SPOTS = {
    "before_add": ("add", False),
    "after_add_commit": ("add", True),
    "after_claim_commit": ("claim", True),
    "before_finish": ("finish", False),
    "after_finish_commit": ("finish", True),
    "after_purge_commit": ("purge", True),
    "after_prune_commit": ("prune_logs", True),
}
"""A method of the store, and whether the process dies behind its commit rather than before the call."""

CHECKPOINT_SPOT = "between_checkpoint_and_event"
FIRST_NODE_STEP = 1

PRUNING_SPOTS = ("before_pruning", "after_pruning")
"""Where the first step of a message's turn is stored, and the steps of the earlier turns are about to go, or are gone.

On SQLite these are one transaction.
"""

CLEAR_SPOT = "between_parts_of_a_long_thread"
"""Where a message clears a thread with many waiting messages: the first of them are cancelled, the others not yet."""


def arm(spot: str) -> None:
    """Have this process die at the spot, the first time that something happens there."""
    if spot == CHECKPOINT_SPOT:
        open_memory = agent_loader.AgentLoader._open_memory

        async def open_armed(agents: agent_loader.AgentLoader) -> Any:
            memory: Any = await open_memory(agents)
            memory.aput = _deadly_checkpoint(memory.aput)
            return memory

        agent_loader.AgentLoader._open_memory = open_armed  # type: ignore[method-assign, assignment]  # replaced on purpose
        return
    if spot in PRUNING_SPOTS:
        if spot == "before_pruning":
            FencedSaver._pruning = _die  # type: ignore[method-assign, assignment]  # replaced on purpose
        else:
            Conversation.begin_turn = _die  # type: ignore[method-assign, assignment]  # replaced on purpose
        return
    if spot == CLEAR_SPOT:
        for engine in (sql, redis):
            engine.clear = _clear_and_die  # type: ignore[attr-defined]  # replaced on purpose
        return
    method, after = SPOTS[spot]

    def make_armed(settings: Settings) -> Store:
        store = factory.make_store(settings)
        setattr(store, method, _deadly(getattr(store, method), after=after))
        return store

    bootstrap.make_store = make_armed  # type: ignore[attr-defined, assignment]  # replaced on purpose


def _die(*_: object) -> Any:
    os._exit(EXIT_CODE)


def _deadly(method: Callable[..., Awaitable[Any]], *, after: bool) -> Callable[..., Awaitable[Any]]:
    async def call_and_die(*args: Any, **kwargs: Any) -> Any:
        if not after:
            os._exit(EXIT_CODE)
        result = await method(*args, **kwargs)
        if result not in ([], (0, [])):  # a claim or a prune that found nothing
            os._exit(EXIT_CODE)
        return result

    return call_and_die


def _deadly_checkpoint(aput: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """After the checkpoint of the first node, before anything behind it is written to the log."""

    async def put_and_die(config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        result = await aput(config, checkpoint, metadata, versions)
        if metadata["step"] == FIRST_NODE_STEP:
            os._exit(EXIT_CODE)
        return result

    return put_and_die


async def _clear_and_die(
    new: Sequence[NewMessage], work: Callable[[Sequence[ThreadKey]], Awaitable[Cleared]]
) -> dict[ThreadKey, list[str]]:
    """Behind the commit of the first part."""

    async def work_and_die(threads: Sequence[ThreadKey]) -> Cleared:
        cleared = await work(threads)
        if cleared:
            os._exit(EXIT_CODE)
        return cleared

    return await parts.clear(new, work_and_die)
