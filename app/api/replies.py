"""A response for JSON text."""

from typing import Any

from starlette.responses import Response
from typing_extensions import override


class JsonReply(Response):
    """A reply of JSON text. It ends with a newline, so that a terminal's prompt starts on a new line."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        return (content.encode() if isinstance(content, str) else bytes(content)) + b"\n"
