"""Loads the scripts of the agents' memory on Redis, and maps the errors of redis-py."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.resources import files

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
