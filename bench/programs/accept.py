"""Prints the processor time of a submit in this process, without sockets: `python -m bench.programs.accept [key]`.

The application runs here with the settings of the environment, and 64 callers submit in batches. The result is a JSON
object with the microseconds of the event loop's thread and of all other threads. Each is the lowest of many batches,
which other work on the machine hardly changes.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import uvloop

from app.config import load_settings
from app.main import create_app

CALLERS = 64
BATCH = 10 * CALLERS
BATCHES = 30
WARM_UP_SECONDS = 1.5
BODY = b'{"message": "What is the capital of France?", "priority": "normal"}'


class Callers:
    """Calls an application as a server does, with requests that are made in advance."""

    def __init__(self, app: Any, key: Sequence[str]) -> None:
        self._app = app
        self._headers = [
            (b"host", b"127.0.0.1:8000"),
            *((b"authorization", f"Bearer {each}".encode()) for each in key),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(BODY)),
        ]

    async def submit(self, count: int) -> None:
        """Submit messages, CALLERS at a time. Raises RuntimeError for a reply other than 202."""
        turns = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._submit_each(turns))

    async def _submit_each(self, turns: Iterator[int]) -> None:
        for _ in turns:
            await self._app(self._scope(), self._receive, self._send)

    def _scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/messages",
            "raw_path": b"/messages",
            "query_string": b"",
            "root_path": "",
            "headers": self._headers,
            "client": ("127.0.0.1", 5555),
            "server": ("127.0.0.1", 8000),
            "extensions": {},
        }

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        if message.get("status", 202) != 202:
            raise RuntimeError(f"a submit was answered {message['status']}")


def seconds_by_thread() -> list[float]:
    """Return the processor time of the threads of this process but the calling one."""
    others = [each.ident for each in threading.enumerate() if each is not threading.current_thread()]
    return [time.clock_gettime(time.pthread_getcpuclockid(each)) for each in others if each is not None]


async def main(key: Sequence[str]) -> None:
    app = create_app(load_settings(), owns_process=True)
    callers = Callers(app, key)
    async with app.router.lifespan_context(app):
        end = time.monotonic() + WARM_UP_SECONDS
        while time.monotonic() < end:
            await callers.submit(BATCH)
        loops, stores = [], []
        for _ in range(BATCHES):
            loop, store = time.thread_time(), sum(seconds_by_thread())
            await callers.submit(BATCH)
            loops.append((time.thread_time() - loop) / BATCH * 1e6)
            stores.append((sum(seconds_by_thread()) - store) / BATCH * 1e6)
    print(json.dumps({"loop": min(loops), "store": min(stores)}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
