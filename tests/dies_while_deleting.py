"""A server whose process dies when it begins to delete what agents remember of a thread."""

import os
from typing import Any

from app.agents.memory import MemoryOnLoop
from app.main import serve
from app.startup import run

forget = MemoryOnLoop.forget


async def die(memory: MemoryOnLoop, memory_keys: list[str]) -> Any:
    """End the process at once, unless the call only checks that the memory is available."""
    if any(memory_keys):
        os._exit(9)
    await forget(memory, memory_keys)


if __name__ == "__main__":
    MemoryOnLoop.forget = die  # type: ignore[method-assign, assignment]  # replaced on purpose
    run(serve)
