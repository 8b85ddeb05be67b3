"""Limits the open streams and WebSockets of a process, and of each tenant in it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors.limits import TooManyStreams
from .limits import SubmitLimits
from .principals import Principal


class StreamLimits:
    """Counts open streams and WebSockets. 0 and None stand for no limit."""

    def __init__(self, limits: SubmitLimits, most: int, most_per_tenant: int) -> None:
        self._limits = limits
        self._most = most
        self._most_per_tenant = most_per_tenant
        self._open: Counter[str] = Counter()
        self._count = 0

    async def check(self, caller: Principal) -> None:
        """Raise TooManyStreams if the caller may not open a further stream now."""
        own = (await self._limits.settings_of(caller.tenant)).limits.streams
        most = self._most_per_tenant if own is None else own
        if most and self._open[caller.tenant] >= most:
            raise TooManyStreams(
                f"The tenant has its maximum of open streams and WebSockets in this process, which is {most}. Close "
                "one, or try again later."
            )
        if self._most and self._count >= self._most:
            raise TooManyStreams(
                f"This process has its maximum of open streams and WebSockets, which is {self._most}. Try again later."
            )

    @contextmanager
    def counted(self, caller: Principal) -> Iterator[None]:
        """Count an open stream or WebSocket."""
        self._open[caller.tenant] += 1
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._open[caller.tenant] -= 1
            if not self._open[caller.tenant]:
                del self._open[caller.tenant]
