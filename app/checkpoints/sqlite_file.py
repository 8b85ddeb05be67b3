"""Opens the SQLite file of the agents' memory, and maps SQLite's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

from ..errors import MemoryDamaged, StoreUnavailable

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
BUSY_TIMEOUT_SECONDS = 5


class Statements(SqliteSaver):
    """LangGraph's statements, run in the caller's transaction and on one thread."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002  LangGraph's
        """Yield a cursor, and do not commit."""
        with closing(self.conn.cursor()) as cursor:
            yield cursor


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's primary result code for an error; 0 if there is none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Raise this program's errors in place of SQLite's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in DAMAGED:
            raise
        raise MemoryDamaged(f"The agents' memory is damaged: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the file so that only its owner can read it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
    return sqlite3.connect(path or ":memory:", timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
