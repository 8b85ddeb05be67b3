"""A receiver of webhooks: a real HTTP server that keeps what it got and answers what a test tells it to."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Received(NamedTuple):
    """One request; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are given in turn, GOOD after the last; while `open` is not set, nothing is answered."""

    port: int = 0
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        task = asyncio.current_task()
        assert task is not None
        self.connections[task] = writer
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.rstrip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                method, target, _ = first.split(" ")
                self.requests.append(Received(method, target, headers, body))
                await self.open.wait()
                writer.write(self.answers.pop(0) if self.answers else GOOD)
                await writer.drain()
        finally:
            writer.close()
            del self.connections[task]


@asynccontextmanager
async def receiver(*, answers: Iterable[bytes] = (), tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    receiving = Receiver(scheme="http" if tls is None else "https", answers=list(answers))
    receiving.open.set()
    server = await asyncio.start_server(receiving.serve, "127.0.0.1", 0, ssl=tls)
    receiving.port = server.sockets[0].getsockname()[1]
    try:
        yield receiving
    finally:
        server.close()
        receiving.open.set()
        for writer in receiving.connections.values():
            writer.transport.abort()
        await asyncio.gather(*receiving.connections)


class Certificate(NamedTuple):
    """A certificate for one name, and both sides that use it."""

    path: Path
    server: ssl.SSLContext
    client: ssl.SSLContext


def certificate_for(name: str, folder: Path) -> Certificate:
    """Signed by itself; the client trusts nothing else."""
    path, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2"),
            *("-keyout", str(key), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, key)
    return Certificate(path, server, ssl.create_default_context(cafile=path))
