"""The types of what the ports in `ports` return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Subscription(Protocol):
    """A subscription to hints on some topics. A hint may be lost, or come without a change in the store."""

    async def wait(self, timeout: float) -> bool:
        """Wait for a hint for up to `timeout` seconds. Return whether there was a hint since the last call."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """Run `call` at each hint from now on, instead of waking `wait`. `call` may not subscribe or unsubscribe."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The promises of a backend, which callers use instead of its name."""

    name: str
    durable: bool
    promise: str
