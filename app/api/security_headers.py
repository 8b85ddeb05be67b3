"""Headers of every answer: its request's id, and those that tell browsers how little they may do with it."""

from collections.abc import Awaitable

from starlette.types import Message, Send

from .request_ids import HEADER

CACHE_CONTROL = b"cache-control"

PRIVATE = (CACHE_CONTROL, b"no-store")
"""Added to answers that do not have their own Cache-Control, since almost all have data of somebody."""

EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Further headers of every answer. Pages of CORS_ORIGINS are not concerned, since their requests are made with CORS."""

OF_PAGES = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Further headers of HTML pages, beside a Content-Security-Policy with FRAMES."""

FRAMES = "frame-ancestors 'none'; base-uri 'none'"
"""The part of the Content-Security-Policy that all pages have: no page shows ours in a frame."""

HEADS = frozenset(("http.response.start", "websocket.http.response.start", "websocket.accept"))


def secured(send: Send, request_id: bytes) -> Send:
    """Return a `send` that adds the headers to each answer. It is no coroutine function: coroutines cost time."""
    everywhere = (*EVERYWHERE, (HEADER, request_id))

    def send_secured(message: Message) -> Awaitable[None]:
        if message["type"] in HEADS:
            headers = [*message.get("headers", ()), *everywhere]
            for name, _ in headers:
                if name == CACHE_CONTROL:
                    break
            else:
                headers.append(PRIVATE)
            message["headers"] = headers
        return send(message)

    return send_secured
