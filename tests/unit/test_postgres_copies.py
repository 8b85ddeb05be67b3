"""Copies of PostgreSQL databases: who uses the database."""

from pathlib import Path

import pytest

from app.errors.backups import TargetInUse
from app.store.postgres import copies
from app.store.postgres.connection import connect, connection_parameters
from app.store.postgres.copies import PostgresCopier
from tests.postgres_server import database_of


def test_a_session_that_is_ending_does_not_use_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database_of(tmp_path)
    copier = PostgresCopier(url, holds_queue=True, holds_memory=False)
    other = connect(connection_parameters(url))
    monkeypatch.setattr("app.store.postgres.copies.time.sleep", lambda _: other.close())
    assert not copier.look().has_messages
    assert other.closed


def test_a_session_that_stays_uses_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database_of(tmp_path)
    monkeypatch.setattr(copies, "ENDING_SECONDS", 0.1)
    with connect(connection_parameters(url)), pytest.raises(TargetInUse):
        PostgresCopier(url, holds_queue=True, holds_memory=False).look()
