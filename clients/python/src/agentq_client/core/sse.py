"""Splits bytes into server-sent events, as the WHATWG standard defines them."""

from __future__ import annotations

from typing import NamedTuple

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is not from a server of this kind, and is not kept in memory."""


class Frame(NamedTuple):
    """One server-sent event. `id` is the last id that the stream gave, or None."""

    event: str
    id: str | None
    data: bytes


class FrameReader:
    """Turns the bytes of one connection into frames, however they are cut. `retry_ms` is None until a `retry:`."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._pieces: list[bytes] = []
        self._unended_bytes = 0
        self._is_first_line = True
        self._event = ""
        self._id: str | None = None
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Frame]:
        """Return the frames that end in `piece`. Raises ValueError for a line without an end."""
        if b"\n" not in piece and b"\r" not in piece and not self._ends_in_return():
            self._keep(piece)
            return []
        lines = b"".join((*self._pieces, piece)).splitlines(keepends=True)
        self._pieces, self._unended_bytes = [], 0
        if lines and not lines[-1].endswith(b"\n"):
            self._keep(lines.pop())  # also a return at the end, since a line feed may follow it
        frames: list[Frame] = []
        for line in lines:
            self._take(line.rstrip(b"\r\n"), frames)
        return frames

    def _ends_in_return(self) -> bool:
        return bool(self._pieces) and self._pieces[-1].endswith(b"\r")

    def _keep(self, piece: bytes) -> None:
        self._unended_bytes += len(piece)
        if self._unended_bytes > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
        self._pieces.append(piece)

    def _take(self, line: bytes, frames: list[Frame]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                frames.append(Frame(self._event or "message", self._id, b"\n".join(self._data)))
            self._event, self._data = "", []
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry_ms = int(value)
