"""The command `agentq mcp`, which hosts of MCP start as a program."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import chain
from typing import TextIO

from .commands import group
from .session import Session, asks_server

app = group()

MAX_LINES = 100
"""How many lines of the host are read before the first of them is taken."""


@app.command()
@asks_server
def mcp(session: Session) -> None:
    """Serve MCP on standard input and output, for hosts that start programs.

    Each message goes to the address /mcp of the server. It needs no package of MCP here.
    """
    from .mcp_bridge import Bridge

    async def serve() -> None:
        async with Bridge(session.config(), session.terminal.record) as bridge:
            await bridge.carry(lines_of(session.terminal.stdin))

    asyncio.run(serve())


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
    """Yield the lines of a stream. They are read on a thread of its own, which ends with the process at the latest."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue(MAX_LINES)

    def read() -> None:
        with suppress(RuntimeError, asyncio.CancelledError):  # the loop has ended
            for line in chain(stream, [""]):
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()

    threading.Thread(target=read, daemon=True, name="standard input").start()
    while line := await lines.get():
        if not line.isspace():
            yield line
