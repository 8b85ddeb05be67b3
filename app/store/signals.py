"""Wakes up tasks by hints within one process."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from typing_extensions import override

from .handles import Subscription
from .ports import Notifier


class LocalSubscription(Subscription):
    """A subscription that keeps a hint for the next `wait`. One task may wait at a time."""

    def __init__(self) -> None:
        self._hinted = False
        self._waiter: asyncio.Future[None] | None = None
        self._call: Callable[[], None] | None = None

    @override
    def on_hint(self, call: Callable[[], None]) -> None:
        self._call = call

    def hint(self) -> None:
        """Wake the waiting task, or let the next `wait` return at once."""
        if self._call is not None:
            self._call()
            return
        self._hinted = True
        self._wake()

    @override
    async def wait(self, timeout: float) -> bool:
        # `asyncio.timeout` would take longer than all of this.
        if not self._hinted:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        hinted, self._hinted = self._hinted, False
        return hinted

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LocalNotifier:
    """Keeps subscribers by topic. Used from the event loop only."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[LocalSubscription]] = defaultdict(set)

    @contextmanager
    def subscribe(self, *topics: str) -> Iterator[LocalSubscription]:
        """Subscribe to these topics until the context is left."""
        subscription = LocalSubscription()
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


class LocalSignals(Notifier):
    """Implements `Notifier` with a LocalNotifier, to which the store also publishes the hints of other processes."""

    _notifier: LocalNotifier

    @override
    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        return self._notifier.subscribe(*topics)

    @override
    def publish(self, *topics: str) -> None:
        self._notifier.publish(*topics)
