"""The listening socket."""

import socket

from app.main import SEND_BUFFER_BYTES, listen


def test_accepted_connections_send_small_writes_at_once() -> None:
    """Without TCP_NODELAY a reply of two writes waits 40 ms for the reader's delayed acknowledgement."""
    listener = listen("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_accepted_connections_have_a_bounded_send_buffer() -> None:
    """A reader that reads nothing must not cost megabytes in the kernel, which doubles what it is asked for."""
    listener = listen("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
