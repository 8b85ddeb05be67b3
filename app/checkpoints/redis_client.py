"""Loads the scripts of the agents' memory on Redis, and maps the errors of redis-py."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

from redis.connection import HiredisRespSerializer

from ..errors import StoreError
from ..store.redis import connection


def mapped_errors() -> AbstractContextManager[None]:
    """Raise this program's errors in place of redis-py's."""
    return connection.mapped_errors(_memory_error)


def _memory_error(error: Exception) -> StoreError:
    return type(connection.mapped(error))(f"The agents' memory cannot be used: {error}")


def flat(rows: Mapping[str, bytes]) -> Iterator[str | bytes]:
    """Yield name, row, name, row, and so on."""
    for item in rows.items():
        yield from item


def load_scripts(*names: str) -> str:
    """Return the scripts with these names as one script."""
    folder = files(__name__.rpartition(".")[0]).joinpath("lua")
    return "\n".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)


class QuickConnection:
    """A mixin for redis-py connections. It sends a command in half the time.

    Hiredis packs the command. Only a command that the socket does not take at once is awaited with a timeout, for which
    asyncio needs a task.
    """

    def pack_command(self, *arguments: Any) -> Any:
        """Return a command in the protocol of Redis."""
        return HiredisRespSerializer().pack(*arguments)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command as redis-py does."""
        writer: Any = getattr(self, "_writer", None)
        if writer is not None and not writer.transport.is_closing() and isinstance(command, list):
            writer.writelines(command)
            if not writer.transport.get_write_buffer_size():
                return
            command = []
        await super().send_packed_command(command, check_health)  # type: ignore[misc]  # the other base class has it


def quick(kind: type[Any]) -> type[Any]:
    """Return a subclass of this connection class that has the mixin QuickConnection."""
    return type(kind.__name__, (QuickConnection, kind), {})
