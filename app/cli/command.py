"""A command of `agentq`."""

from collections.abc import Callable
from typing import NamedTuple

from ..config import Settings


class Command(NamedTuple):
    """A command of `agentq`. `explanation` is a clause without a capital letter or a full stop."""

    name: str
    run: Callable[[Settings], None]
    explanation: str
