"""Watches for changes of API keys, here and in other processes, and stores when keys were last used."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Protocol

from ..errors import AgentQueueError, StoreError
from ..observability.outages import Outage
from ..store.ports import ACCESS, Notifier
from .rule import Access
from .verification import KeyStore, KeyVerifier

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Interval of the polls: about the longest delay that a lost hint causes, and that an expired stream stays open."""

ANSWER_SECONDS = 2.0
"""Time limit for the store's answer."""

STALE_SECONDS = 3.0
"""After this long without an answer of the store, keys are looked up again. A change could have been missed."""

USED_SECONDS = 60.0
"""Interval at which the last uses are stored."""


class WatchedStore(KeyStore, Notifier, Protocol):
    """The ports of the watch."""


class AccessWatch:
    """Has a change of keys take effect in this process."""

    def __init__(self, store: WatchedStore, keys: KeyVerifier, access: Access, outage: Outage) -> None:
        self._store = store
        self._keys = keys
        self._access = access
        self._outage = outage
        self._revision = -1
        self._checked_at = time.monotonic()
        self._used_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the present state, then watch in the background. Raises StoreError."""
        await self._read_state()
        self._task = asyncio.create_task(self._watch(), name="access")

    async def stop(self) -> None:
        """Stop, and store the last uses. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with suppress(StoreError):
                await self._store_uses()

    def recheck(self) -> None:
        """Verify all credentials again, since those of the identity provider may have lost their keys."""
        self._access.recheck()

    async def _watch(self) -> None:
        with self._store.subscribe(ACCESS) as hints:
            while True:
                await hints.wait(POLL_SECONDS)
                try:
                    await self._look()
                    self._outage.works("access")
                except (AgentQueueError, TimeoutError) as error:
                    self._outage.fails("access", "Reading the state of API keys failed, trying again: %s", error)
                    await asyncio.sleep(POLL_SECONDS / 10)
                except Exception:
                    logger.exception("Watching the API keys failed, trying again")
                    await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        """Act on a change of keys, end what has expired, and store last uses if it is time."""
        self._access.end_expired(self._store.now())
        if time.monotonic() - self._checked_at > STALE_SECONDS:
            self._keys.forget()
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._read_state()
            if self._access.has_unchecked:
                await self._access.check_held()
        if time.monotonic() - self._used_at > USED_SECONDS:
            self._used_at = time.monotonic()
            await self._store_uses()

    async def _read_state(self) -> None:
        state = await self._store.access_state()
        self._checked_at = time.monotonic()
        if state.revision != self._revision:
            self._revision = state.revision
            self._keys.has_keys = state.has_keys
            self._keys.forget()
            self._access.has_unchecked = True

    async def _store_uses(self) -> None:
        used, now = set(self._keys.used), self._store.now()
        if used:
            await self._store.use_keys(dict.fromkeys(used, now))
            self._keys.used -= used
