"""Hints between the tasks of one process."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class HubSubscription:
    """Remembers that there was a hint until somebody waits for it."""

    def __init__(self) -> None:
        self._hinted = asyncio.Event()

    def hint(self) -> None:
        """Wake the waiter, or the next one to come."""
        self._hinted.set()

    async def wait(self, timeout: float) -> bool:
        """See `app.store.base.Subscription`."""
        try:
            async with asyncio.timeout(timeout):
                await self._hinted.wait()
        except TimeoutError:
            return False
        self._hinted.clear()
        return True


class Hub:
    """Subscribers by topic. Used from the event loop only."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[HubSubscription]] = defaultdict(set)

    @contextmanager
    def subscribe(self, *topics: str) -> Iterator[HubSubscription]:
        """Hints on these topics until the context is left."""
        subscription = HubSubscription()
        for topic in topics:
            self._subscribers[topic].add(subscription)
        try:
            yield subscription
        finally:
            for topic in topics:
                self._subscribers[topic].discard(subscription)
                if not self._subscribers[topic]:
                    del self._subscribers[topic]

    def publish(self, *topics: str) -> None:
        """Wake the subscribers of these topics."""
        for topic in topics:
            for subscription in self._subscribers.get(topic, ()):
                subscription.hint()
