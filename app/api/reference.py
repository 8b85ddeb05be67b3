"""The description of the API as pages for people. Their browser fetches nothing from elsewhere."""

from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:"
)
"""For browsers. The pages are written inline and compile their own checks; a logo of Redoc's maker is not fetched."""


class OwnSourcesOnly:
    """Add POLICY to every response of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self._app(scope, receive, send_with_policy)


def pages(title: str) -> list[BaseRoute]:
    """Return the routes `/docs`, `/redoc`, and what these pages load."""
    offline = FastAPIOffline(title=title)
    found: list[BaseRoute] = []
    for route in offline.routes:
        assert isinstance(route, Route | Mount)
        if route.path != offline.openapi_url:
            route.app = OwnSourcesOnly(route.app)
            found.append(route)
    return found
