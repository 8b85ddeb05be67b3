"""A server whose process dies before or after it copies what agents remember of a thread, as DIES says."""

import os

from app.agents.memory import MemoryOnLoop
from app.main import serve
from app.startup import run

copy = MemoryOnLoop.copy_until


async def die(memory: MemoryOnLoop, source_key: str, checkpoint_id: str, target_key: str) -> bool:
    """End the process, after the copy if DIES is `after`."""
    if os.environ["DIES"] == "after":
        await copy(memory, source_key, checkpoint_id, target_key)
    os._exit(9)


if __name__ == "__main__":
    MemoryOnLoop.copy_until = die  # type: ignore[method-assign, assignment]  # replaced on purpose
    run(serve)
