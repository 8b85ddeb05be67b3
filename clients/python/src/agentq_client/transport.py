"""The only module that knows httpx: sends requests and opens streams. httpx is imported when a client is made."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .core.replies import Reply
from .core.requests import Failure, Request
from .errors import ConfigurationError, UnexpectedReply

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 256 * 1024 * 1024

MAX_CONNECT_SECONDS = 5.0
"""An address at which nobody answers is told long before the time of a try is over."""


async def sleep(seconds: float) -> None:
    """Wait without holding the event loop. asyncio is imported late, since it is a fifth of the time of an import."""
    import asyncio

    await asyncio.sleep(seconds)


class ConnectionFailed(Exception):
    """A connection could not be opened, or ended before its reply."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _translate(error: BaseException) -> ConnectionFailed | ConfigurationError:
    import httpx

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


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # it was closed meanwhile
        connection.shutdown(socket.SHUT_RDWR)


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

        A time-out of the read itself begins again with each keep-alive. A connection of HTTP/2 is shared with other
        requests, and is not cut.
        """
        stream = self._response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if seconds is None or connection is None or self._response.http_version == "HTTP/2":
            yield
            return
        timer = threading.Timer(seconds, _shut_down, (connection,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

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


def _arguments(request: Request, connect: float, read: float) -> dict[str, Any]:
    import httpx

    return {
        "headers": request.headers,
        "content": request.content,
        "timeout": httpx.Timeout(connect, connect=min(connect, MAX_CONNECT_SECONDS), read=read),
    }


class Transport:
    """Sends over a `httpx.Client`. One that was given is not closed."""

    def __init__(self, http_client: httpx.Client | None) -> None:
        import httpx

        self._is_ours = http_client is None
        with _configuring():
            self._http = http_client or httpx.Client()

    def close(self) -> None:
        """Close the connections, unless the caller's own client holds them."""
        if self._is_ours:
            self._http.close()

    @contextmanager
    def opened(self, request: Request, *, connect: float, read: float) -> Iterator[OpenReply]:
        """Open a reply; `read` is the longest silence in seconds. Raises ConnectionFailed."""
        try:
            built = self._http.build_request(request.method, request.url, **_arguments(request, connect, read))
            response = self._http.send(built, stream=True)
        except _known() as error:
            raise _translate(error) from error
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
            self._http = http_client or httpx.AsyncClient()

    async def close(self) -> None:
        """Close the connections, unless the caller's own client holds them."""
        if self._is_ours:
            await self._http.aclose()

    @asynccontextmanager
    async def opened(self, request: Request, *, connect: float, read: float) -> AsyncIterator[AsyncOpenReply]:
        """Open a reply; `read` is the longest silence in seconds. Raises ConnectionFailed."""
        try:
            built = self._http.build_request(request.method, request.url, **_arguments(request, connect, read))
            response = await self._http.send(built, stream=True)
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
