"""A response for JSON text."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from typing_extensions import override

JSON_TYPE = (b"content-type", b"application/json")


class JsonReply(Response):
    """A reply of JSON text. It ends with a newline, so that a terminal's prompt starts on a new line."""

    media_type = "application/json"

    @override
    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Make the headers, for JSON in half of the time. Its type and length are not among `headers`."""
        if self.media_type != JsonReply.media_type:
            super().init_headers(headers)
            return
        self.raw_headers = [
            *[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()],
            (b"content-length", b"%d" % len(self.body)),
            JSON_TYPE,
        ]

    @override
    def render(self, content: Any) -> bytes:
        return (content.encode() if isinstance(content, str) else bytes(content)) + b"\n"
