"""Readers of streams in the Durable Streams protocol, and a proxy that cuts them off at any byte."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from typing_extensions import override

from tests import wire
from tests.chaos.proxy import Proxy

CONTROL = "control"


class Live(NamedTuple):
    """All that a reader of server-sent events has been given: events, the ids of their blocks, and `control`s."""

    events: list[dict[str, Any]]
    ids: list[str]
    controls: list[dict[str, Any]]

    @property
    def offset(self) -> str:
        """The offset of the last `control`."""
        return str(self.controls[-1]["streamNextOffset"])


def blocks_of(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each complete block. Comments and `retry` are no fields of an event."""
    for block in text.split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if line and not line.startswith((":", "retry:"))]
        yield dict(line.partition(":")[::2] for line in lines)


def live_of(text: str) -> Live:
    """Read server-sent events as strictly as the protocol: each `data` is followed by a `control` with its offset."""
    live = Live([], [], [])
    pending = ""
    for block in blocks_of(text):
        data = json.loads(block["data"])
        if block["event"].strip() == CONTROL:
            assert pending in ("", data["streamNextOffset"])
            assert ("streamCursor" in data) is ("streamClosed" not in data)
            live.controls.append(data)
            pending = ""
        else:
            assert (block["event"].strip(), pending) == ("data", "")
            assert data, "an event without data"
            live.events.extend(data)
            live.ids.append(pending := block["id"].strip())
    return live


class CuttingProxy(Proxy):
    """Cuts all connections again and again, each time after a random number of bytes, until `cuts` is reached."""

    def __init__(self, port: int, cuts: int, most_bytes: int, seed: int) -> None:
        super().__init__("127.0.0.1", port)
        self._random = random.Random(seed)
        self._left = cuts
        self._most_bytes = most_bytes
        self.cut_off = 0
        self._changed = asyncio.Event()
        self._arm()

    def begin(self, cuts: int) -> None:
        """Cut so often from now on."""
        self._left = cuts
        self._arm()

    def _arm(self) -> None:
        if self._left:
            self.cut_after(self._random.randint(1, self._most_bytes))

    @override
    def cut(self) -> None:
        super().cut()
        if self._left:
            self._left -= 1
            self.cut_off += 1
            self._changed.set()
            self._changed = asyncio.Event()
            self._arm()

    async def until_cut(self, times: int) -> None:
        """Wait until connections were cut this often."""
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            while self.cut_off < times:
                await self._changed.wait()


async def event_source(url: str, target: str) -> list[dict[str, Any]]:
    """The events that a page with an EventSource is given. It comes back with the last id until it is answered 204."""
    seen: list[dict[str, Any]] = []
    last = ""
    while True:
        try:
            async with wire.stream_of(url, target, last_event_id=last or None) as opened:
                if opened.status == 204:
                    return seen
                buffer = ""
                while chunk := await opened._chunk():
                    buffer += chunk.decode()
                    whole, _, buffer = buffer.rpartition("\n\n")
                    for block in blocks_of(f"{whole}\n\n" if whole else ""):
                        last = block.get("id", last).strip()
                        if block["event"].strip() == "data":
                            seen += json.loads(block["data"])
        except (OSError, asyncio.IncompleteReadError):
            continue
