"""The requests that a client sends to both servers."""

from collections.abc import Awaitable, Callable

from tests.differential.scenarios import assistants, items, questions, runs, streams, threads
from tests.differential.scenarios.talk import Talk

Scenario = Callable[[Talk], Awaitable[None]]

SCENARIOS: tuple[Scenario, ...] = (
    *assistants.SCENARIOS,
    *threads.SCENARIOS,
    *streams.SCENARIOS,
    *runs.SCENARIOS,
    *questions.SCENARIOS,
    *items.SCENARIOS,
)
