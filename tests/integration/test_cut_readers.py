"""Readers whose connections are cut again and again, and who go on elsewhere, see what one undisturbed reader sees."""

import asyncio
import contextlib
import itertools
import os
import random
from pathlib import Path

from tests import wire
from tests.integration.test_processes import API_ONLY, submit
from tests.servers import ServerProcess, server_process

READERS = int(os.environ.get("CUT_READERS", "40"))
"""With 200 it is 50,000 events in all, the figure of the control issue."""

TOKENS = 250
PAUSE_SECONDS = 0.02
CUT_SECONDS = (0.2, 2.0)
CLOCK = {
    "AGENTS": "clock=bench.programs.agents:clock",
    "BENCH_TOKENS": str(TOKENS),
    "BENCH_PAUSE_SECONDS": str(PAUSE_SECONDS),
    "LEASE_SECONDS": "30",
}


class Reader:
    """Follows a message over several servers, each time until it is cut."""

    def __init__(self, servers: list[ServerProcess], message_id: str, seed: int) -> None:
        self._servers = itertools.cycle(servers)
        self._message_id = message_id
        self._random = random.Random(seed)
        self.frames: list[wire.Frame] = []
        self.cuts = 0

    async def follow(self) -> None:
        """To the terminal event."""
        while not self.frames or self.frames[-1].event not in wire.TERMINAL:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(*CUT_SECONDS)):
                    await self._read()
            self.cuts += 1

    async def _read(self) -> None:
        seen = self.frames[-1].id if self.frames else None
        async with wire.stream(next(self._servers).url, self._message_id, last_event_id=seen) as stream:
            assert stream.status == 200
            try:
                while (frame := await stream.next()) is not None:
                    if frame.id is not None:
                        self.frames.append(frame)
            finally:
                stream.drop()


async def test_readers_that_are_cut_again_and_again_miss_nothing(tmp_path: Path, database: dict[str, str]) -> None:
    environment = {**database, **CLOCK}
    with (
        server_process(tmp_path, **environment, **API_ONLY) as first,
        server_process(tmp_path, **environment, **API_ONLY) as second,
        server_process(tmp_path, "app.worker", **environment),
    ):
        await asyncio.gather(first.ready(), second.ready())
        message_id = await submit(first, "What time is it?")
        readers = [Reader([first, second][:: 1 - 2 * (n % 2)], message_id, n) for n in range(READERS)]
        async with asyncio.timeout(120):
            await asyncio.gather(*(reader.follow() for reader in readers))
        undisturbed = await wire.frames_of(second.url, message_id)

    wire.check_log(undisturbed)
    log = wire.stored(undisturbed)
    assert len(log) > TOKENS / 2  # a slow disk may join tokens
    assert [n for n, reader in enumerate(readers) if wire.stored(reader.frames) != log] == []
    assert sum(reader.cuts for reader in readers) > 2 * READERS
