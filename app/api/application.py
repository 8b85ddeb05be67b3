"""The application: its routes, and the one pipeline that every request passes before them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import __version__
from ..services import Services
from . import admin, description, errors, health, reference, root, routes, streaming, threads, websocket
from .cors import AllowedOrigins
from .description import describe
from .gate import Gate
from .middleware import HotRoute, RawThreadPaths
from .queries import KnownQuery, query_for, query_refusal
from .stopping import tell_cut_off

DESCRIPTION = "A durable queue for AI agents: priorities, threads with memory, live answers that resume."

AHEAD = (
    ("GET", "/messages/{message_id}/stream", streaming.stream_of_request),
    ("POST", "/messages", routes.submit_message),
)
"""The routes with the most requests. They are answered ahead of the framework's stack."""


class Application(FastAPI):
    """FastAPI's application behind an entry of our own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.entry: ASGIApp = super().__call__
        self.allowed_origins: Collection[str] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await self.entry(scope, receive, send)
        except asyncio.CancelledError:
            if not await tell_cut_off(scope, receive, send, self.allowed_origins):
                raise


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_application(services: Services, lifespan: Lifespan) -> Application:
    """Return the application for these services, not yet running."""
    settings = services.settings
    app = Application(
        title=root.NAME, version=__version__, description=DESCRIPTION, openapi_url=None, lifespan=lifespan
    )
    app.state.services = services
    for router in (root.router, routes.router, admin.router, streaming.router, threads.router, health.router):
        app.router.routes.extend(router.routes)  # include_router would match every request twice
    app.router.routes.extend([*websocket.routes, *description.routes, *reference.pages(root.NAME)])
    app.add_middleware(RawThreadPaths)
    anonymous = settings.allow_anonymous
    app.entry = KnownQuery(app.entry, app.router.routes, allow_anonymous=anonymous)
    for method, path, endpoint in AHEAD:
        query = query_for(app.router.routes, method, path)
        refusal = partial(query_refusal, query=query, allow_anonymous=anonymous)
        app.entry = HotRoute(app.entry, method=method, path=path, endpoint=endpoint, query_refusal=refusal, owner=app)
    app.entry = Gate(app.entry, max_body_bytes=settings.max_body_bytes, allowed_origins=settings.cors_origins)
    if settings.cors_origins:
        app.allowed_origins = settings.cors_origins
        app.entry = AllowedOrigins(app.entry, settings.cors_origins)
    errors.install(app)
    describe(app)
    return app
