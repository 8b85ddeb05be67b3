"""Connections to the server: options from the URL, error mapping, checks of what a server promises."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import hiredis
import redis.asyncio
from redis import exceptions as errors
from redis.asyncio.connection import parse_url
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from ...errors import AgentQueueError, ConfigurationError, StoreError, StoreIncompatible, StoreUnavailable
from ..handles import Capabilities

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""Maximum wait for a reply, after which the connection is dropped."""

OLDEST_VERSION = (6, 2)

CUT = (RedisError, OSError)
"""Errors after which a connection is of no use. The server may have done what was sent on it."""


def connection_options(url: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a redis-py connection. Raises ConfigurationError."""
    try:
        path = urlsplit(url).path.strip("/")
        if path and not path.isdecimal():
            raise ValueError(path)
        options = dict(parse_url(url))
    except ValueError:
        # The text of the error may contain a part of the password, so it is not shown.
        raise ConfigurationError(
            "DATABASE_URL: expected redis://user:password@host:6379/0 with special characters as %XX, "
            "got one whose port, database number or options cannot be read"
        ) from None
    return {
        "decode_responses": True,
        "protocol": 2,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "driver_info": None,  # Redis 6.2 lacks the command and logs a missing permission
        **options,
        **more,
    }


_AWAY = "The Redis server does not answer"
_FORBIDDEN = "DATABASE_URL: the user lacks permissions that the program needs"

_BY_CLASS: tuple[tuple[type[Exception], type[StoreError | ConfigurationError], str], ...] = (
    (errors.AuthenticationError, ConfigurationError, "DATABASE_URL: the server does not know this user and password"),
    (errors.AuthorizationError, ConfigurationError, "DATABASE_URL: expected a user who may log in"),
    (errors.NoPermissionError, ConfigurationError, _FORBIDDEN),
    (errors.BusyLoadingError, StoreUnavailable, "The Redis server is loading its data; nothing was stored"),
    (errors.AskError, ConfigurationError, "DATABASE_URL: name the node of the Redis Cluster that has the queue"),
    (errors.ClusterDownError, StoreUnavailable, "The Redis Cluster is not ready; nothing was stored"),
    (errors.TryAgainError, StoreUnavailable, "The Redis Cluster is moving the queue; nothing was stored"),
    (errors.MasterDownError, StoreUnavailable, "The Redis server is a replica without its primary; nothing was stored"),
    (ssl.SSLError, ConfigurationError, "DATABASE_URL: no TLS connection"),
    (errors.ConnectionError, StoreUnavailable, _AWAY),
    (errors.TimeoutError, StoreUnavailable, _AWAY),
    (OSError, StoreUnavailable, _AWAY),
)

# Redis 6.2 puts an error of a script inside a text of its own, so the patterns match anywhere.
_BY_TEXT: tuple[tuple[str, type[StoreError | ConfigurationError], str], ...] = (
    ("when used memory >", StoreUnavailable, "The Redis server is out of memory; nothing was stored"),
    ("read only replica", StoreUnavailable, "The Redis server has become a read-only replica; nothing was stored"),
    (r"\b(MISCONF|BUSY|NOREPLICAS|STALE) ", StoreUnavailable, "The Redis server refuses writes; nothing was stored"),
    (r"\bGONE ", StoreUnavailable, "The queue is gone: its database was emptied. Start the program again"),
    ("DB index is out of range", ConfigurationError, "DATABASE_URL: expected a database number that the server has"),
    (r"\bWRONGTYPE ", StoreIncompatible, "A key of the queue belongs to another program"),
    ("ACL failure in script|user executing the script can't", ConfigurationError, _FORBIDDEN),
)


def is_of_replica(error: object) -> bool:
    """Return whether a write was refused because the server is a replica."""
    return isinstance(error, ResponseError) and "read only replica" in str(error)


def unavailable(error: BaseException) -> StoreUnavailable:
    """Return the error for a server that cannot be reached."""
    return StoreUnavailable(f"{_AWAY}: {error}")


def refusal(error: Exception) -> StoreError | ConfigurationError:
    """Return our error for an error of redis-py or the server at the program's start."""
    for pattern, ours, text in _BY_TEXT:
        if re.search(pattern, str(error)):
            return ours(f"{text}: {error}")
    for kind, ours, text in _BY_CLASS:
        if isinstance(error, kind):
            return ours(f"{text}: {error}")
    return StoreError(f"Redis: {error}")


def mapped(error: Exception) -> StoreError:
    """Return our error for an error while the program runs.

    A setting that was right at the start may become right again. ConfigurationError therefore becomes StoreUnavailable.
    """
    ours = refusal(error)
    return ours if isinstance(ours, StoreError) else StoreUnavailable(str(ours))


@contextmanager
def mapped_errors(mapping: Callable[[Exception], AgentQueueError] = mapped) -> Iterator[None]:
    """Raise our errors in place of redis-py's."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise mapping(error) from error


class QuickConnection:
    """A mixin for redis-py connections. It sends commands in half the time.

    Hiredis packs commands. Only what the socket does not take at once is awaited with a timeout, for which asyncio
    needs a task. uvloop's RuntimeError on a closed connection becomes ConnectionError.
    """

    def pack_command(self, *arguments: Any) -> Any:
        """Return a command in the protocol of Redis."""
        return [pack(*arguments)]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command as redis-py does. Raises ConnectionError."""
        writer: Any = getattr(self, "_writer", None)
        try:
            if writer is not None and not writer.transport.is_closing() and isinstance(command, list):
                writer.writelines(command)
                if not writer.transport.get_write_buffer_size():
                    return
                command = []
            await super().send_packed_command(command, check_health)  # type: ignore[misc]  # the other base class has it
        except RuntimeError as error:
            raise errors.ConnectionError(str(error)) from error


def quick(kind: type[Any]) -> type[Any]:
    """Return a subclass of this connection class that has the mixin QuickConnection."""
    return type(kind.__name__, (QuickConnection, kind), {})


class Link:
    """A connection for one task of the event loop at a time. The task must not be cancelled while it receives."""

    def __init__(self, url: str, **more: Any) -> None:
        options = connection_options(url, **more)
        kind = options.pop("connection_class", redis.asyncio.Connection)
        self._connection: Any = quick(kind)(**options)  # redis-py has no types here

    @property
    def connected(self) -> bool:
        """Return whether there is a connection, as far as redis-py knows."""
        return bool(self._connection.is_connected)

    async def check(self) -> None:
        """Drop a connection that the server has closed. Called before commands are sent."""
        with suppress(*CUT):
            if self.connected and await self._connection.can_read():
                await self.disconnect()

    async def connect(self) -> None:
        """Connect if not connected, log in, select the database."""
        await self._connection.connect()

    async def disconnect(self) -> None:
        """Drop the connection and all outstanding replies."""
        await self._connection.disconnect(nowait=True)

    async def send(self, commands: Sequence[bytes]) -> None:
        """Write packed commands."""
        await self._connection.send_packed_command(commands, check_health=False)

    async def receive(self, *, within: float | None = None) -> Any:
        """Return the next reply, or the server's error; None if nothing came within `within` seconds.

        Raises what redis-py raises when the connection breaks.
        """
        try:
            return await self._connection.read_response(timeout=within)
        except ResponseError as refused:
            return refused

    async def ask(self, *command: str | int) -> Any:
        """Send a command and return its reply. Raises what redis-py raises."""
        await self.send([pack(*command)])
        answer = await self.receive()
        if isinstance(answer, ResponseError):
            raise answer
        return answer


def pack(*command: Any) -> bytes:
    """Return a command in Redis's wire format."""
    packed: bytes = hiredis.pack_command(command)
    return packed


def pack_arguments(arguments: tuple[Any, ...]) -> bytes:
    """Return arguments in Redis's wire format without their count, as a part for `packed_command`."""
    return pack(*arguments).partition(b"\n")[2]


def packed_command(count: int, *parts: bytes) -> bytes:
    """Return a command in Redis's wire format. `parts` are packed arguments, `count` in total."""
    return b"*%d\r\n%b" % (count, b"".join(parts))


async def inspect(link: Link, *, allow_volatile: bool) -> Capabilities:
    """Return what this server promises. Raises ConfigurationError or StoreIncompatible if it cannot be used.

    Raises StoreUnavailable while the server loads its data. With `allow_volatile`, a server that may lose messages can
    be used.
    """
    try:
        facts = facts_of(await link.ask("INFO"))
    except NoPermissionError as error:
        if not allow_volatile:
            raise ConfigurationError(
                "Redis: expected the user to be allowed INFO, so that persistence can be checked "
                "(ACL SETUSER <user> +info, or ALLOW_VOLATILE=true)"
            ) from error
        facts = {}
    if facts.get("loading", "0") != "0":
        raise StoreUnavailable("The Redis server is loading its data; try again when it is done.")
    _refuse(facts)
    doubts = _doubts(facts)
    if doubts and not allow_volatile:
        raise ConfigurationError(doubts[0] + " (ALLOW_VOLATILE=true starts nevertheless)")
    name = "valkey" if "valkey_version" in facts else "redis"
    if doubts or not facts:
        return Capabilities(name, durable=False, promise="messages may be lost: the server may forget or evict them")
    return Capabilities(name, durable=True, promise=await _promise(link))


async def check_access(url: str) -> None:
    """Check that we can connect and that the server can be used. Raises ConfigurationError, StoreError."""
    link = Link(url)
    try:
        with mapped_errors(refusal):
            await link.connect()
            await inspect(link, allow_volatile=True)
    finally:
        await link.disconnect()


def facts_of(info: str) -> dict[str, str]:
    """Return what INFO says, by name."""
    lines = (line.partition(":") for line in info.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def _refuse(facts: Mapping[str, str]) -> None:
    """Raise StoreIncompatible for a server that is too old, ConfigurationError for a replica."""
    version = facts.get("redis_version")
    if version and tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_VERSION:
        raise StoreIncompatible(f"Redis: expected version 6.2 or newer, got {version}.")
    if facts.get("role") == "slave":
        raise ConfigurationError("DATABASE_URL: expected the primary server, got one of its read-only replicas")


def _doubts(facts: Mapping[str, str]) -> list[str]:
    """Return the reasons why this server may lose accepted messages, each with its remedy."""
    doubts = []
    if facts.get("aof_enabled") == "0":
        doubts.append("Redis: expected the append-only file to be on (CONFIG SET appendonly yes), got aof_enabled:0")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
        doubts.append(
            f"Redis: expected a server that evicts nothing (CONFIG SET maxmemory-policy noeviction), got {policy}"
        )
    return doubts


# While a background fsync lags, `everysec` replies before it has written, for up to two seconds. Then a kill -9 of the
# server loses acknowledged messages too.
_SYNCED = {
    "always": "messages survive kill -9 of every process and a crash of the host (appendfsync always)",
    "everysec": (
        "messages survive kill -9 of every process but the Redis server; "
        "a crash of the server or its host may lose the last two seconds (appendfsync everysec)"
    ),
    "no": (
        "messages survive kill -9 of every process; "
        "a crash of the host loses what its system had not written yet (appendfsync no)"
    ),
}
_UNKNOWN = "messages survive kill -9 of every process but the Redis server, whose crash may lose the last seconds"


async def _promise(link: Link) -> str:
    try:
        answer = await link.ask("CONFIG", "GET", "appendfsync")
    except ResponseError:
        answer = []
    synced = _SYNCED.get(answer[1], _UNKNOWN) if len(answer) == 2 else _UNKNOWN
    return f"{synced}; a failover to a replica may lose acknowledged ones"
