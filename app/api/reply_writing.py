"""Writes replies of HTTP/1.1: a head together with the beginning of its body, in one packet instead of two."""

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ReplyWriting(HttpToolsProtocol):
    """uvicorn's protocol, which is the transport of its cycles. A cycle writes a head and each part of a body alone.

    The head of a reply is held until its body begins, if the length of the body is known and not 0. The client then
    wakes up only once. The heads of streams are written at once.
    """

    __slots__ = ("_head", "_is_begun")

    _head: bytes | None
    _is_begun: bool

    @override
    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn has it
        self._head = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Write a part of a response. Called by the cycle of the request."""
        if self._head is not None:
            self.transport.writelines((self._head, data))
            self._head = None
        elif not self._is_begun and self.cycle.response_started and self.cycle.expected_content_length:
            self._head = data  # of the newest request; one that others wait behind writes its head at once
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

    def end_reply(self) -> None:
        """Expect the head of another reply. The one of a reply to HEAD is held until now."""
        self.flush()
        self._is_begun = False
