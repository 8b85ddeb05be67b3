"""Agents on the event loop of the test, so that a test can hold what its agents wait for."""

import asyncio

from app.agents.loop import AgentLoop
from app.agents.runs import note_task


class SharedLoop(AgentLoop):
    """Has agents run on the loop of the test, without a thread."""

    def __init__(self) -> None:
        super().__init__(threads=4, run_threads=4, max_abandoned=64, make_loop=asyncio.get_running_loop)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(note_task)
        self._use(loop)
