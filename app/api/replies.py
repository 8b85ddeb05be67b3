"""Replies whose body is JSON text that the endpoint has written."""

from typing import Any

from starlette.responses import Response


class JsonReply(Response):
    """A reply of JSON text. It ends with a newline, so that the prompt of a terminal begins on a line of its own."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See Response."""
        return (content.encode() if isinstance(content, str) else bytes(content)) + b"\n"
