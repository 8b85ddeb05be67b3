"""Copies an SQLite file that may be in use, and puts the copy back.

SQLite's backup interface copies the pages of one snapshot while others write. It takes half the time of VACUUM INTO,
and can be ended after every step. When a copy is put back, the interface writes in one transaction. If the process is
killed, the next one to open the file undoes everything by the journal.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import apsw
from typing_extensions import override

from ...errors import StoreIncompatible, StoreRefused, StoreUnavailable
from ...errors.backups import BackupDamaged, BackupError, DatabaseMissing, TargetInUse
from ..copies import Copier, Progress, Target
from ..schema_version import check_version
from .connection import APPLICATION_ID, mapped_errors
from .open_files import holders_of, told
from .write_turns import BUSY_TIMEOUT_MILLISECONDS, SUFFIX

PAGES = 2000
"""Pages in each step of a copy. Between the steps, Ctrl-C is noticed and progress is told."""

EMPTY_SECONDS = 30.0
"""Maximum time to wait for readers before the write-ahead log is emptied."""

EMPTY_AGAIN_SECONDS = 0.05

SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
"""The bytes of a file in which SQLite holds a lock as long as a connection in WAL mode is open."""

SIDE_FILES = ("", "-wal", "-shm", "-journal", SUFFIX)
"""The ends of the names of a database and the files beside it that belong to it."""


class SqliteCopier(Copier):
    """Copies the queue's file, or that of the agents' memory with `is_memory`.

    A missing memory is copied as an empty one, since its file is made when the first agent runs.
    """

    def __init__(self, path: Path, *, is_memory: bool = False) -> None:
        self._path = path
        self._is_memory = is_memory

    @property
    @override
    def engine(self) -> str:
        return "sqlite"

    @property
    @override
    def folder(self) -> Path:
        return self._path.resolve().parent

    @override
    def owns(self, file: Path) -> bool:
        parts = (Path(f"{self._path.resolve()}{end}") for end in SIDE_FILES)
        return any(part.exists() and part.samefile(file) for part in parts)

    @override
    def copy(self, to: Path, progress: Progress) -> int:
        try:
            version = self._copy(to, progress)
        except StoreUnavailable as error:  # it would say that the database cannot be used
            cause = error.__cause__
            if isinstance(cause, apsw.FullError) or getattr(cause, "extendedresult", 0) == apsw.SQLITE_IOERR_WRITE:
                reason = "The disk is full, or the copy is larger than a quota or a limit allows"
                raise OSError(errno.ENOSPC, reason, str(to)) from error
            raise
        self.check(to)
        return version

    def _copy(self, to: Path, progress: Progress) -> int:
        with mapped_errors(), closing(self._source()) as source, closing(apsw.Connection(str(to))) as target:
            target.execute("PRAGMA synchronous = OFF")  # nobody relies on the copy before the archive is on the disk
            source.execute("BEGIN")  # holds the snapshot, else a write of others would begin the copy anew
            version = self._version(source)
            _copy_pages(source, target, progress)
            source.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE")
        return version

    @override
    def check(self, file: Path) -> None:
        with mapped_errors():
            try:
                with closing(_opened(file, apsw.SQLITE_OPEN_READONLY)) as copy:
                    found = copy.execute("PRAGMA integrity_check(1)").get
                    self._version(copy)
            except (apsw.CorruptError, apsw.NotADBError) as error:
                found = str(error)
        if found != "ok":
            raise BackupDamaged(f"The copy of {self._path.name} is damaged: {found}")

    @override
    def compact(self) -> None:
        if not self._path.exists():
            if self._is_memory:
                return
            raise DatabaseMissing(f"DATABASE_URL: there is no database at {self._path}, so there is nothing to compact")
        self._refuse_device()
        with mapped_errors(), closing(_opened(self._path)) as connection:
            self._refuse_foreign(connection)
            connection.execute("VACUUM")
            deadline = time.monotonic() + EMPTY_SECONDS
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:  # a reader needs the log
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"Readers keep {self._path}-wal from being emptied. Try again")
                time.sleep(EMPTY_AGAIN_SECONDS)

    @override
    def look(self) -> Target:
        if not self._path.exists():
            return Target(has_messages=False)
        self._refuse_device()
        self._refuse_others()
        try:
            with mapped_errors(), closing(_opened(self._path)) as found:
                self._refuse_foreign(found)
                if self._is_memory or not found.execute("SELECT count(*) FROM sqlite_schema").get:
                    return Target(has_messages=False)
                return Target(has_messages=bool(found.execute("SELECT EXISTS (SELECT 1 FROM messages)").get))
        except StoreIncompatible as error:
            if isinstance(error.__cause__, apsw.CorruptError | apsw.NotADBError):
                return Target(has_messages=False, damage=str(error))
            raise

    @override
    def restore(self, file: Path, progress: Progress) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.look().damage:
            self._move_away()
        with mapped_errors():
            with suppress(FileExistsError):
                os.close(os.open(self._path.resolve(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with (
                closing(_opened(file, apsw.SQLITE_OPEN_READONLY)) as source,
                closing(_opened(self._path)) as target,
                self._refusing_others(),
            ):
                target.execute("PRAGMA journal_mode = DELETE")  # refused while another connection is open
                _copy_pages(source, target, progress)

    def _source(self) -> apsw.Connection:
        """Open the file that is copied. Raises BackupError if there is none."""
        if not self._path.exists():
            if self._is_memory:
                return apsw.Connection(":memory:")
            raise BackupError(f"DATABASE_URL: there is no database at {self._path}, so there is nothing to back up")
        self._refuse_device()
        source = _opened(self._path)
        try:
            self._refuse_foreign(source)
        except BaseException:
            source.close()
            raise
        return source

    def _refuse_device(self) -> None:
        if not self._path.is_file():
            raise StoreRefused(f"{self._path} is a folder, a device or a pipe, not a database file")

    def _refuse_foreign(self, connection: apsw.Connection) -> None:
        """Raise StoreIncompatible for a database of another program."""
        application = connection.execute("PRAGMA application_id").get
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        is_ours = "checkpoints" in tables if self._is_memory else application == APPLICATION_ID
        if tables and not is_ours:
            raise StoreIncompatible(f"{self._path} is an SQLite database of another program; name another file")

    def _version(self, connection: apsw.Connection) -> int:
        """Return the schema version of the queue. Raises StoreIncompatible for one that this program does not know."""
        if self._is_memory:
            return 0
        version: int = connection.execute("PRAGMA user_version").get
        check_version(version)
        return version

    def _refuse_others(self) -> None:
        """Raise TargetInUse if other processes have the file open. Called while this process does not."""
        with mapped_errors(), self._path.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
            except BlockingIOError as error:
                raise self._in_use() from error

    def _in_use(self) -> TargetInUse:
        holders = holders_of([Path(f"{self._path.resolve()}{end}") for end in SIDE_FILES])
        named = f": {told(holders)}" if holders else ""
        text = f"Other processes have {self._path} open{named}. Stop them first; nothing was changed"
        return TargetInUse(text, [each.pid for each in holders])

    def _move_away(self) -> None:
        """Rename a damaged file and what belongs to it, so that nothing of it is lost."""
        path = self._path.resolve()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for end in SIDE_FILES:
            with suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{path}.damaged-{stamp}{end}")

    @contextmanager
    def _refusing_others(self) -> Iterator[None]:
        try:
            yield
        except (apsw.BusyError, apsw.LockedError) as error:
            raise self._in_use() from error


def _opened(path: Path, flags: int = apsw.SQLITE_OPEN_READWRITE) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
    return connection


def _copy_pages(source: apsw.Connection, target: apsw.Connection, progress: Progress) -> None:
    with target.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(PAGES)
            progress(copying.page_count - copying.remaining, copying.page_count)
