"""Lets pages of the origins in CORS_ORIGINS use this server (Cross-Origin Resource Sharing)."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope
from typing_extensions import override

from .errors import problem

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
EXPOSED_HEADERS = (
    "A2A-Extensions",
    "Allow",
    "Content-Location",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Mcp-Session-Id",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Stream-Closed",
    "Stream-Cursor",
    "Stream-Next-Offset",
    "Stream-Up-To-Date",
    "Traceparent",
    "X-Pagination-Next",
    "X-Pagination-Total",
    "X-Pagination-Total-At-Least",
    "X-RateLimit-Limit-Requests",
    "X-RateLimit-Limit-Tokens",
    "X-RateLimit-Remaining-Requests",
    "X-RateLimit-Remaining-Tokens",
    "X-RateLimit-Reset-Requests",
    "X-RateLimit-Reset-Tokens",
    "X-Request-Id",
    "X-Should-Retry",
    "X-Vercel-AI-UI-Message-Stream",
)
MAX_AGE_SECONDS = 600


class AllowedOrigins(CORSMiddleware):
    """Starlette's CORS middleware. It sends its refusals as problems (RFC 9457).

    It is the first stage, so that pages can also read the refusals of later stages.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=frozenset(origins),
            allow_methods=METHODS,
            allow_headers=("*",),  # SDKs in browsers send headers of their own
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
            max_age=MAX_AGE_SECONDS,
        )

    @override
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        if response.status_code == 200:
            return Response(status_code=204, headers=headers)
        if not self.is_allowed_origin(request_headers["origin"]):
            headers = {"vary": headers["vary"]}
        return problem(
            403,
            "cors_refused",
            f"{bytes(response.body).decode()}. Origins are allowed by CORS_ORIGINS, methods are {', '.join(METHODS)}.",
            headers=headers,
        )


def let_page_read(response: Response, scope: Scope | None, origins: Collection[str]) -> None:
    """Add the CORS headers to a reply that was sent without the middleware `AllowedOrigins`.

    A page of an allowed origin can then read the reply. `scope` is None if the request was refused while its head was
    parsed. If the request's origin is unknown and exactly one origin is allowed, use the allowed origin.
    """
    if not origins:
        return
    sent = [] if scope is None else Headers(raw=scope["headers"]).getlist("origin")
    (origin,) = sent if len(sent) == 1 else origins if not sent and len(origins) == 1 else ("",)
    response.headers.add_vary_header("Origin")
    if origin in origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
