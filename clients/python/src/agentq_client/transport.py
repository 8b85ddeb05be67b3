"""The only module that knows httpx: sends requests and opens streams. httpx is imported when a client is made."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from .core.replies import Reply
from .core.requests import Failure, Request
from .errors import ConfigurationError, UnexpectedReply

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 256 * 1024 * 1024

MAX_CONNECT_SECONDS = 5.0
"""An address at which nobody answers is told long before the time of a try is over."""


HEAD_MARGIN_SECONDS = 1.0
"""A head that does not end is given up this long after the time of a try, in which a silence is told more exactly."""


async def sleep(seconds: float) -> None:
    """Wait without holding the event loop. asyncio is imported late, since it is a fifth of the time of an import."""
    import asyncio

    await asyncio.sleep(seconds)


class ConnectionFailed(Exception):
    """A connection could not be opened, or ended before its reply."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


_ERROR_NUMBER = re.compile(r"^\[Errno -?\d+\] ")


def _told(error: BaseException) -> str:
    """Return what happened, in words for people where the library has none."""
    import httpx

    if isinstance(error, UnicodeEncodeError):
        return "a header or the address has characters that HTTP does not carry"
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {MAX_CONNECT_SECONDS:g} seconds"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    text = _ERROR_NUMBER.sub("", str(error)).rstrip(".")
    if isinstance(error, httpx.ConnectError) and text:
        return text[0].lower() + text[1:]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _refused_certificate(error: BaseException | None) -> BaseException | None:
    """Return why the server's certificate is not trusted, None if an error has another cause."""
    import ssl

    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _translate(error: BaseException) -> ConnectionFailed | ConfigurationError:
    import httpx

    if (refused := _refused_certificate(error)) is not None:
        return ConfigurationError(
            f"The server's certificate is not trusted: {refused}.",
            cure="Name the certificate of its issuer in SSL_CERT_FILE, or give an `http_client` that trusts it.",
        )
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, UnicodeEncodeError)):
        return ConfigurationError(
            f"The request cannot be sent: {_told(error)}.", cure="Check address, key and headers."
        )
    not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    return ConnectionFailed(Failure(_told(error), maybe_sent=not isinstance(error, not_sent), cause=error))


def _known() -> tuple[type[BaseException], ...]:
    import httpx

    return (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, UnicodeEncodeError)


def _too_slow(seconds: float) -> Failure:
    return Failure(f"no whole reply within {seconds:g} seconds", maybe_sent=True, cause=TimeoutError())


def _reply(response: httpx.Response, content: bytes) -> Reply:
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, content)


class _Body:
    """Collects a reply within a time and a size."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if time.monotonic() > self._end:
            raise ConnectionFailed(_too_slow(self._seconds))
        if self._size > MAX_REPLY_BYTES:
            raise UnexpectedReply(f"The reply has more than {MAX_REPLY_BYTES} bytes.")

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)


def _socket_of(response: httpx.Response) -> socket.socket | None:
    """Return the socket of a response. None for a connection of HTTP/2, which other requests share."""
    stream = response.extensions.get("network_stream")
    if stream is None or response.http_version == "HTTP/2":
        return None
    return cast("socket.socket | None", stream.get_extra_info("socket"))


def _shut_down(connection: socket.socket | None) -> None:
    if connection is not None:
        with suppress(OSError):  # it was closed meanwhile
            connection.shutdown(socket.SHUT_RDWR)


class _HeadLimit:
    """Shuts a new connection down when the head of its reply does not end, such as by informational replies.

    The time-out of a read begins again with each byte. A connection that has served a request before is not limited.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds + HEAD_MARGIN_SECONDS
        self._timer: threading.Timer | None = None

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """Take an event of httpcore. Begin to count when it has opened a connection."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.end()
            connection = info["return_value"].get_extra_info("socket")
            self._timer = threading.Timer(self._seconds, _shut_down, (connection,))
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """Stop counting."""
        if self._timer is not None:
            self._timer.cancel()


async def _within(seconds: float, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    import asyncio

    end = time.monotonic() + seconds
    try:
        while True:
            yield await asyncio.wait_for(body.__anext__(), max(0.0, end - time.monotonic()))
    except StopAsyncIteration:
        return
    except asyncio.TimeoutError as error:
        raise ConnectionFailed(_too_slow(seconds)) from error


class OpenReply:
    """A reply whose body is read piece by piece."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = _reply(response, b"").headers

    def pieces(self, seconds: float | None = None) -> Iterator[bytes]:
        """Yield the body as it arrives, for `seconds` at most. Raises ConnectionFailed, also when they are over."""
        with self._cut_after(seconds):
            try:
                yield from self._response.iter_bytes()
            except _known() as error:
                raise _translate(error) from error

    @contextmanager
    def _cut_after(self, seconds: float | None) -> Iterator[None]:
        """Shut the socket down after some time, which ends a read that waits.

        A time-out of the read itself begins again with each keep-alive. A connection of HTTP/2 is not cut.
        """
        connection = _socket_of(self._response)
        if seconds is None or connection is None:
            yield
            return
        timer = threading.Timer(seconds, _shut_down, (connection,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def cut(self) -> None:
        """End a read that waits in another thread. A connection of HTTP/2 is not cut."""
        _shut_down(_socket_of(self._response))

    def read(self, seconds: float) -> Reply:
        """Return the whole reply."""
        body = _Body(seconds)
        for piece in self.pieces():
            body.add(piece)
        return _reply(self._response, body.content)


class AsyncOpenReply:
    """A reply whose body is read piece by piece, for asyncio."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = _reply(response, b"").headers

    async def pieces(self, seconds: float | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, for `seconds` at most. Raises ConnectionFailed, also when they are over."""
        body = self._response.aiter_bytes()
        try:
            async for piece in body if seconds is None else _within(seconds, body):
                yield piece
        except _known() as error:
            raise _translate(error) from error

    def cut(self) -> None:
        """End a read that waits in another task. A connection of HTTP/2 is not cut."""
        _shut_down(_socket_of(self._response))

    async def read(self, seconds: float) -> Reply:
        """Return the whole reply."""
        body = _Body(seconds)
        async for piece in self.pieces():
            body.add(piece)
        return _reply(self._response, body.content)


@contextmanager
def _configuring() -> Iterator[None]:
    """Raise ConfigurationError for proxies and certificates of the environment that httpx cannot use."""
    import httpx

    try:
        yield
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The environment's proxy or certificates cannot be used: {type(error).__name__}.",
            cure="Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise ConfigurationError("The client was closed.", cure="Make a new one.")


def _arguments(request: Request, connect: float, read: float) -> dict[str, Any]:
    import httpx

    return {
        "headers": request.headers,
        "content": request.content,
        "timeout": httpx.Timeout(connect, connect=min(connect, MAX_CONNECT_SECONDS), read=read),
    }


def _unlimited() -> httpx.Limits:
    """Return limits for streams, each of which holds a connection as long as its message takes."""
    import httpx

    return httpx.Limits(max_connections=None, max_keepalive_connections=20)


class Transport:
    """Sends over a `httpx.Client`. One that was given is not closed."""

    def __init__(self, http_client: httpx.Client | None) -> None:
        self._is_ours = http_client is None
        self._process = os.getpid()
        self._made = http_client or self._make()

    @staticmethod
    def _make() -> httpx.Client:
        import httpx

        with _configuring():
            return httpx.Client(limits=_unlimited())

    @property
    def _http(self) -> httpx.Client:
        """Return the client of this process. After a fork it is a new one, since two processes share no connection."""
        if self._is_ours and self._process != os.getpid():
            self._made, self._process = self._make(), os.getpid()
        return self._made

    def close(self) -> None:
        """Close the connections, unless the caller's own client holds them."""
        if self._is_ours:
            self._http.close()

    @contextmanager
    def opened(self, request: Request, *, connect: float, read: float) -> Iterator[OpenReply]:
        """Open a reply; `read` is the longest silence in seconds. Raises ConnectionFailed."""
        _check_open(self._http)
        limit = _HeadLimit(connect)
        try:
            arguments = _arguments(request, connect, read)
            built = self._http.build_request(
                request.method, request.url, extensions={"trace": limit.trace}, **arguments
            )
            response = self._http.send(built, stream=True)
        except _known() as error:
            raise _translate(error) from error
        finally:
            limit.end()
        try:
            yield OpenReply(response)
        finally:
            response.close()

    def send(self, request: Request, seconds: float) -> Reply | Failure:
        """Return the whole reply, or why there is none."""
        try:
            with self.opened(request, connect=seconds, read=seconds) as reply:
                return reply.read(seconds)
        except ConnectionFailed as error:
            return error.failure


class AsyncTransport:
    """Sends over a `httpx.AsyncClient`. One that was given is not closed."""

    def __init__(self, http_client: httpx.AsyncClient | None) -> None:
        import httpx

        self._is_ours = http_client is None
        with _configuring():
            self._http = http_client or httpx.AsyncClient(limits=_unlimited())

    async def close(self) -> None:
        """Close the connections, unless the caller's own client holds them."""
        if self._is_ours:
            await self._http.aclose()

    @asynccontextmanager
    async def opened(self, request: Request, *, connect: float, read: float) -> AsyncIterator[AsyncOpenReply]:
        """Open a reply; `read` is the longest silence in seconds. Raises ConnectionFailed."""
        import asyncio

        _check_open(self._http)
        try:
            built = self._http.build_request(request.method, request.url, **_arguments(request, connect, read))
            response = await asyncio.wait_for(self._http.send(built, stream=True), connect + HEAD_MARGIN_SECONDS)
        except asyncio.TimeoutError as error:
            raise ConnectionFailed(_too_slow(connect)) from error
        except _known() as error:
            raise _translate(error) from error
        try:
            yield AsyncOpenReply(response)
        finally:
            await response.aclose()

    async def send(self, request: Request, seconds: float) -> Reply | Failure:
        """Return the whole reply, or why there is none."""
        try:
            async with self.opened(request, connect=seconds, read=seconds) as reply:
                return await reply.read(seconds)
        except ConnectionFailed as error:
            return error.failure
