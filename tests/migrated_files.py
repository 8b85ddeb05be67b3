"""Gives a test a migrated SQLite file without its migration, for a third of what migrating costs."""

import uuid
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from app.store.sqlite.connection import connect, migrate


def make_migrated(path: Path) -> None:
    """Write a migrated file unless there is a file. Its queue has a new id."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not path.exists():
        content, name = _migrated_file()
        path.touch(mode=0o600)
        path.write_bytes(content.replace(name, uuid.uuid4().hex.encode()))


@cache
def _migrated_file() -> tuple[bytes, bytes]:
    """Return what a new file has after its migration, and the queue's id in it."""
    with TemporaryDirectory() as folder, closing(connect(path := Path(folder, "queue.db"))) as connection:
        migrate(connection)
        name = str(connection.execute("SELECT id FROM queue").get).encode()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = path.read_bytes()
    assert content.count(name) == 1
    return content, name
