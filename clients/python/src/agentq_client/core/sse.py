"""Splits bytes into server-sent events, as the WHATWG standard defines them."""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""A longer line or event is not from a server of this kind, and is not kept in memory."""


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
        self._after_return = False
        self._event = ""
        self._id: str | None = None
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> list[Frame]:
        """Return the frames that end in `piece`. Raises ValueError for a line or an event without an end."""
        if self._after_return and piece:
            # A return has ended its line at once. A line feed after it belongs to the same line end.
            piece, self._after_return = piece.removeprefix(b"\n"), False
        if b"\n" not in piece and b"\r" not in piece:
            self._keep(piece)
            return []
        self._after_return = piece.endswith(b"\r")
        lines = b"".join((*self._pieces, piece)).splitlines(keepends=True)
        self._pieces, self._unended_bytes = [], 0
        if not lines[-1].endswith((b"\n", b"\r")):
            self._keep(lines.pop())
        frames: list[Frame] = []
        for line in lines:
            self._take(line.rstrip(b"\r\n"), frames)
        return frames

    def _keep(self, piece: bytes) -> None:
        self._unended_bytes += len(piece)
        self._pieces.append(piece)
        self._check_size()

    def _check_size(self) -> None:
        if self._unended_bytes + self._data_bytes > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")

    def _take(self, line: bytes, frames: list[Frame]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                frames.append(Frame(self._event or "message", self._id, b"\n".join(self._data)))
            self._event, self._data, self._data_bytes = "", [], 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(line) + 1
            self._check_size()
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry_ms = int(value)
