"""Writes replies of HTTP/1.1: a head together with the beginning of its body, in one packet instead of two."""

from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class ReplyWriting(HttpToolsProtocol):
    """uvicorn's protocol, which is the transport of its cycles. A cycle writes a head and each part of a body alone.

    The head of a reply is held until its body begins, if the length of the body is known and not 0. The client then
    wakes up only once. The heads of streams are written at once.
    """

    __slots__ = ("_answered", "_head", "_is_begun")

    _answered: RequestResponseCycle | None
    """The request that is answered now or was answered last. uvicorn's `cycle` is the newest, which may wait for it."""

    _head: bytes | None
    _is_begun: bool
    """Whether the head has been held already, so that all other parts are written at once."""

    @override
    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn has it
        self._answered = self._head = None
        self._is_begun = False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application that the client has gone. uvicorn tells only the newest request."""
        self._head = None
        super().connection_lost(exc)
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        self._is_begun = False
        super()._start_asgi_task(cycle, app)

    def write(self, data: bytes) -> None:
        """Write a part of a response. Called by the cycle of the request."""
        if self._head is not None:
            self.transport.write(self._head + data)
            self._head = None
        elif not self._is_begun and self._answered is not None and self._answered.expected_content_length:
            self._head = data
            self._is_begun = True
        else:
            self.transport.write(data)

    def unsent(self) -> int:
        """Return how many bytes were written and wait to be sent."""
        return self.transport.get_write_buffer_size()

    def flush(self) -> None:
        """Write a head that is held, since the body has no bytes or never comes."""
        if self._head is not None:
            self.transport.write(self._head)
            self._head = None
