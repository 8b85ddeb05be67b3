"""Copies the keys of a queue, as one moment has them, and puts them back.

`CLIENT PAUSE … WRITE` holds all writes of the server while the keys are read. Servers of the queue wait meanwhile. The
pause is short and is renewed, so that writes go on soon if this process is killed.
"""

import json
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from typing_extensions import override

from ...errors import StoreIncompatible, StoreUnavailable
from ...errors.backups import BackupDamaged, BackupError, BackupUnfit, DatabaseMissing, TargetInUse
from ..copies import Copier, Progress, Target
from ..schema_version import check_version
from .connection import CONNECT_SECONDS, connection_options, mapped_errors, refusal

PREFIX = "{agent_queue}:"
MEMORY_PREFIX = f"{PREFIX}checkpoint:"
SCHEMA, LAST_NUMBER, HINTS = f"{PREFIX}schema", f"{PREFIX}number", f"{PREFIX}hints"
RESTORING = f"{PREFIX}restoring"
"""Exists while a backup is put back, and after that was cut off."""

PAUSE_MILLISECONDS = 3000
RENEW_SECONDS = 0.5
ANSWER_SECONDS = 60.0
KEYS_AT_ONCE = 500
REWRITE_SECONDS = 600.0
"""Maximum time to wait for the server to write its files anew."""

REWRITE_AGAIN_SECONDS = 0.1

HEADER = b"agentq-redis 1\n"
RECORD = struct.Struct(">IQI")
"""Lengths of a key and its value, and between them when it expires: milliseconds since the epoch, 0 for never."""


Client = Any
"""A client of redis-py, which has no types for commands that are given as words."""


class RedisCopier(Copier):
    """Copies all keys of the queue, with the agents' memory on the same server; with `is_memory`, the memory alone."""

    def __init__(self, url: str, *, is_memory: bool = False) -> None:
        connection_options(url)  # refuses what cannot be read
        self._url = url
        self._is_memory = is_memory
        self._prefix = MEMORY_PREFIX if is_memory else PREFIX

    @property
    @override
    def engine(self) -> str:
        return "redis"

    @override
    def copy(self, to: Path, progress: Progress) -> int:
        with self._connected() as client, to.open("xb") as file:
            version = self._stored_version(client)
            file.write(HEADER + json.dumps({"schema_version": version}).encode() + b"\n")
            with _paused(client) as pause:
                for keys in self._keys(client):
                    _write_keys(client, keys, file)
                    pause.renew()
        self.check(to)
        return version

    @override
    def check(self, file: Path) -> None:
        with file.open("rb") as content:
            version = _read_header(content)
            for _ in _records(content):
                pass
        if not self._is_memory:
            check_version(version)

    @override
    def compact(self) -> None:
        with self._connected() as client:
            if not self._is_memory and not client.exists(SCHEMA):
                raise DatabaseMissing("DATABASE_URL: the database has no queue, so there is nothing to compact")
            if client.info("persistence").get("aof_enabled"):
                _finish(client, "BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status")
            _finish(client, "BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status")

    @override
    def look(self) -> Target:
        with self._connected() as client:
            if client.exists(RESTORING):
                return Target(has_messages=False, damage="An earlier restore was cut off.")
            if self._is_memory:
                return Target(has_messages=False)
            ((_, listeners),) = client.pubsub_numsub(HINTS)
            if listeners:
                raise TargetInUse("Other processes use the queue. Stop them first; nothing was changed")
            if client.type(SCHEMA) not in (b"string", b"none"):
                raise StoreIncompatible(f"The database has keys under {PREFIX} that are not of this program")
            return Target(has_messages=bool(client.exists(LAST_NUMBER)))

    @override
    def restore(self, file: Path, progress: Progress) -> None:
        with self._connected() as client, file.open("rb") as content:
            _read_header(content)
            self._probe(client, file)
            client.set(RESTORING, "1")
            client.unlink(SCHEMA)  # without this key, servers do not start
            for keys in self._keys(client):
                if old := [key for key in keys if key != RESTORING.encode()]:
                    client.unlink(*old)
            last = None
            batch = client.pipeline(transaction=False)
            for record in _records(content):
                if record[0] == SCHEMA.encode():
                    last = record
                    continue
                _restore_key(batch, *record)
                if len(batch.command_stack) >= KEYS_AT_ONCE:
                    batch.execute()
            batch.execute()
            ending = client.pipeline(transaction=True)
            if last is not None:
                _restore_key(ending, *last)
            ending.delete(RESTORING)
            ending.execute()

    def _probe(self, client: Client, file: Path) -> None:
        """Raise BackupUnfit if this server cannot read the values of a copy. All of them have one form."""
        with file.open("rb") as content:
            _read_header(content)
            for _, _, value in _records(content):
                try:
                    client.execute_command("RESTORE", RESTORING, 0, value, "REPLACE")
                except ResponseError as error:
                    raise BackupUnfit(
                        "The server is older than the one of the backup, or is of another kind: Redis and Valkey do "
                        f"not read each other's backups. It says: {error}"
                    ) from error
                return

    def _stored_version(self, client: Client) -> int:
        if self._is_memory:
            return 0
        stored: Any = client.get(SCHEMA) if client.type(SCHEMA) == b"string" else None
        if stored is None or not stored.isdigit():
            raise BackupError("DATABASE_URL: the database has no queue, so there is nothing to back up")
        version = int(stored)
        check_version(version)
        return version

    def _keys(self, client: Client) -> Iterator[Sequence[bytes]]:
        """Return the keys in parts. A key may come twice."""
        cursor = -1
        while cursor != 0:
            cursor, keys = client.scan(max(cursor, 0), match=f"{self._prefix}*", count=KEYS_AT_ONCE)
            yield keys

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        client = redis.Redis.from_url(
            self._url, protocol=2, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        )
        with mapped_errors(refusal), client:
            yield client


def _finish(client: Client, command: str, progress: str, status: str) -> None:
    """Run a command of the server that works in the background, and wait for its end. Raises StoreUnavailable."""

    def state() -> dict[str, Any]:
        found: dict[str, Any] = client.info("persistence")
        return found

    deadline = time.monotonic() + REWRITE_SECONDS
    while True:  # only one such command runs at a time
        busy = any(state().get(name) for name in ("aof_rewrite_in_progress", "rdb_bgsave_in_progress"))
        if not busy:
            client.execute_command(command)
            break
        _wait_until(deadline)
    while state().get(progress) or state().get("aof_rewrite_scheduled"):
        _wait_until(deadline)
    if state().get(status) != "ok":
        raise StoreUnavailable(f"Redis: {command} has failed; the server's log says why")


def _wait_until(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise StoreUnavailable("Redis: the server still writes its files. Look at INFO persistence")
    time.sleep(REWRITE_AGAIN_SECONDS)


class _Pause:
    """A pause of all writes. It notices when a renewal came too late, since then others may have written."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until = self._renewed = time.monotonic()
        self._begin()

    def renew(self) -> None:
        """Make the pause longer when it is time to. Raises BackupError if it has ended meanwhile."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return
        until = self._until
        self._begin()
        self._refuse_gap(until)

    def check(self) -> None:
        """Raise BackupError if the pause has ended."""
        self._refuse_gap(self._until)

    def _refuse_gap(self, until: float) -> None:
        if time.monotonic() >= until:
            raise BackupError("The copy was held up, so that others could write meanwhile. Start it again")

    def _begin(self) -> None:
        self._renewed = time.monotonic()  # the server begins to count later, which is on the safe side
        self._client.execute_command("CLIENT", "PAUSE", PAUSE_MILLISECONDS, "WRITE")
        self._until = self._renewed + PAUSE_MILLISECONDS / 1000


@contextmanager
def _paused(client: Client) -> Iterator[_Pause]:
    try:
        pause = _Pause(client)
    except NoPermissionError as error:
        raise BackupError(
            "Redis: expected the user to be allowed to hold up writes (ACL SETUSER <user> +client|pause "
            "+client|unpause +scan +dump)"
        ) from error
    try:
        yield pause
        pause.check()
    finally:
        with suppress(RedisError, OSError):
            client.execute_command("CLIENT", "UNPAUSE")


def _write_keys(client: Client, keys: Sequence[bytes], file: IO[bytes]) -> None:
    reading = client.pipeline(transaction=False)
    for key in keys:
        reading.pttl(key)
        reading.dump(key)
    reading.time()
    *answers, (seconds, microseconds) = reading.execute()
    now = seconds * 1000 + microseconds // 1000
    for key, left, value in zip(keys, answers[::2], answers[1::2], strict=True):
        if value is not None:  # it has expired
            file.write(RECORD.pack(len(key), now + left if left >= 0 else 0, len(value)) + key + value)


def _restore_key(batch: Any, key: bytes, expires: int, value: bytes) -> None:
    batch.execute_command("RESTORE", key, expires, value, "REPLACE", *(["ABSTTL"] if expires else []))


def _read_header(content: IO[bytes]) -> int:
    """Return the schema version of a copy, 0 for the agents' memory. Raises BackupDamaged."""
    try:
        if content.read(len(HEADER)) == HEADER:
            return int(json.loads(content.readline(1000))["schema_version"])
    except (ValueError, KeyError, TypeError):
        pass
    raise BackupDamaged("The copy of the keys is damaged, or a newer version has made it")


def _records(content: IO[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Return key, time of expiry and value of all keys. Raises BackupDamaged."""
    while head := content.read(RECORD.size):
        if len(head) < RECORD.size:
            raise BackupDamaged("The copy of the keys is cut off")
        key_length, expires, value_length = RECORD.unpack(head)
        key, value = content.read(key_length), content.read(value_length)
        if len(key) < key_length or len(value) < value_length:
            raise BackupDamaged("The copy of the keys is cut off")
        yield key, expires, value
