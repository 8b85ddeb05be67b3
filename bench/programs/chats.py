"""Users who chat: `python -m bench.programs.chats PORT CHATS`. Each submits, reads the stream, and repeats.

Each line of its input has a number of seconds. For each line it prints one line of JSON: the answers and tokens per
second in that time, and the tokens' ages in milliseconds (see `bench.programs.agents.ClockModel`).
"""

import asyncio
import json
import statistics
import sys
import time

from bench.report import percentile

BODY = b'{"message": "When?"}'
HEAD = (
    "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
)
TOKENS = b'data: {"type": "content"'


class Chats:
    """All chats, with what they have measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.ages: list[float] = []
        self.ended = 0

    async def chat(self) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(HEAD.encode() + BODY)
            while line := await reader.readline():
                if line.startswith(TOKENS):
                    now = time.monotonic_ns()
                    self.ages += [(now - int(made)) / 1e6 for made in json.loads(line[6:])["chunk"].split()]
            writer.close()
            self.ended += 1

    async def round(self, seconds: float) -> dict[str, float]:
        self.ages, self.ended = [], 0
        await asyncio.sleep(seconds)
        return {
            "ended": self.ended / seconds,
            "tokens": len(self.ages) / seconds,
            "p50_ms": statistics.median(self.ages),
            "p99_ms": percentile(self.ages, 0.99),
        }


async def main(port: int, chats: int) -> None:
    loop = asyncio.get_running_loop()
    all_of_them = Chats(port)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(all_of_them.chat()) for _ in range(chats)]
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await all_of_them.round(float(line))), flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
