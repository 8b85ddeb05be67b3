"""The listening socket, and what a process of ours sets up."""

import socket
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("owns_process", [True, False])
def test_the_collector_passes_over_what_lives_as_long_as_the_process(owns_process: bool) -> None:
    program = f"""
import asyncio, gc
from app.config import Settings
from app.main import create_app

async def main():
    app = create_app(Settings(database_url="memory://", worker_concurrency=0), owns_process={owns_process})
    async with app.router.lifespan_context(app):
        print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 700)

asyncio.run(main())
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert told.splitlines()[-1] == f"{owns_process} {owns_process}"
