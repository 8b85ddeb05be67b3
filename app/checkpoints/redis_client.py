"""Calls the scripts of the agents' memory on Redis, and maps the errors of redis-py."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

from typing_extensions import override

from ..errors import StoreError
from ..store.redis import connection
from ..store.redis.command_pipeline import CommandPipeline
from ..store.redis.scripts import Script

CLIENT_NAME = "agent-queue-memory"
TIMEOUT_SECONDS = 5

MEASURED_AT_ONCE = 50
"""Number of rows that one script measures. The server copies their values for it."""

PARTS = {
    "save": ("fence", "index", "save"),
    "read": ("fence", "read"),
    "list": ("fence", "index", "list"),
    "change": ("fence", "index", "change"),
    "measure": ("measure",),
}
"""The scripts and the files that make them."""


class ScriptPipeline(CommandPipeline):
    """Calls scripts for conversations, those that gather while others run together.

    It connects at the first call. A script whose connection broke is sent once more, so it may run twice.
    """

    def __init__(self, url: str) -> None:
        link = connection.Link(
            url,
            decode_responses=False,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            client_name=CLIENT_NAME,
        )
        super().__init__(link, load_scripts(), "")

    @override
    async def open(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def call(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Return the reply of a script. Raises StoreError."""
        try:
            return await self.run(script, len(keys), *keys, *arguments)
        except StoreError as error:
            raise _memory_error(error) from error

    async def measure(self, conversations: Iterable[Sequence[str]]) -> list[int]:
        """Return the bytes of the rows of conversations. A row that changes meanwhile may count twice."""
        return await asyncio.gather(*map(self._measure, conversations))

    async def _measure(self, keys: Sequence[str]) -> int:
        cursor, total = b"", 0
        while cursor != b"0":
            cursor, size = await self.call("measure", keys, cursor or b"0", MEASURED_AT_ONCE)
            total += size
        return total

    @override
    def pack_call(self, script: Script, count: int, packed: bytes, *before: Any) -> bytes:
        return connection.packed_command(count + 2, connection.pack_arguments(("EVALSHA", script.sha)), packed)


def mapped_errors() -> AbstractContextManager[None]:
    """Raise this program's errors in place of redis-py's."""
    return connection.mapped_errors(_memory_error)


def _memory_error(error: Exception) -> StoreError:
    kind = type(error if isinstance(error, StoreError) else connection.mapped(error))
    return kind(f"The agents' memory cannot be used: {error}")


def flat(rows: Mapping[str, bytes]) -> Iterator[str | bytes]:
    """Yield name, row, name, row, and so on."""
    for item in rows.items():
        yield from item


def load_scripts() -> Mapping[str, Script]:
    """Return the scripts by name."""
    folder = files(__name__.rpartition(".")[0]).joinpath("lua")
    found = {}
    for name, parts in PARTS.items():
        text = "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)
        found[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return found
