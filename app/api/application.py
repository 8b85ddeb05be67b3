"""Builds the application: its routes, and the list of stages that every request passes before its endpoint."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from .. import __version__
from ..access.proxies import TrustedProxies
from ..errors import AgentQueueError
from ..services import Services
from . import (
    admin,
    agents,
    audit,
    changes,
    description,
    doctor,
    erasures,
    errors,
    health,
    items,
    keys,
    metrics,
    reference,
    root,
    routes,
    sessions,
    shown_settings,
    statistics,
    storage,
    streaming,
    tenants,
    thread_states,
    threads,
    tokens,
    usage,
    websocket,
)
from .cors import AllowedOrigins, let_page_read
from .description import describe
from .forwarding import ForwardedRequests
from .header_checks import HeaderChecks
from .middleware import Authorization, FoundRoute, Routing, call_endpoint
from .queries import KnownQuery
from .request_ids import HEADER, REQUEST_ID, request_id_of
from .request_limits import RequestLimits
from .security_headers import secured
from .stopping import answer_cut_off
from .surfaces import Surface, Surfaces, in_its_form, reply_for
from .trace_context import RequestTrace

DESCRIPTION = "A durable queue for AI agents: priorities, threads with memory, live answers that resume."

ROUTERS = (
    root.router,
    routes.router,
    admin.router,
    agents.router,
    streaming.router,
    changes.router,
    thread_states.router,
    storage.router,  # before the threads, whose paths take any id
    threads.router,
    items.router,
    erasures.router,
    tokens.router,
    sessions.router,
    keys.router,
    tenants.router,
    audit.router,
    usage.router,
    health.router,
    metrics.router,
    doctor.router,
    shown_settings.router,
    statistics.router,
)
"""The native API, in the order in which routes are looked for."""

HOT = {
    ("POST", "/messages"): routes.submit_message,
    ("GET", "/messages/{message_id}/stream"): streaming.stream_of_request,
}
"""The endpoints with the most requests, which are called without the framework's layers."""

NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry: spans of all requests but the hot ones, and error texts that may have secrets."""

Stage = Callable[[ASGIApp], ASGIApp]
"""Wraps an application in a check or a step. A stage refuses a request by raising AgentQueueError."""


class Application(FastAPI):
    """FastAPI's application. Its requests pass the list of stages first."""

    services: Services

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.entry: ASGIApp = super().__call__
        self.allowed_origins: Collection[str] = ()
        self.surfaces = Surfaces(())

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request_id = request_id_of(scope)
        REQUEST_ID.set(request_id.decode())
        send = secured(send, request_id)
        if (surface := self.surfaces.at(scope["path"].removeprefix(scope.get("root_path", "")))) is not None:
            send = in_its_form(send, surface)
        try:
            await self.entry(scope, receive, send)
        except AgentQueueError as error:  # raised by a stage; endpoints answer their own errors
            response = errors.response_to(error)
            let_page_read(response, scope, self.allowed_origins)
            await errors.answer(response, scope, receive, send)
        except asyncio.CancelledError:
            if not await answer_cut_off(scope, receive, send, self.allowed_origins):
                raise

    def finish_refusal(self, refusal: Response, scope: Scope | None, path: str) -> Response:
        """Return a refusal of a request that does not reach the application, as the caller can read it.

        `scope` is None if the request was refused while its head was parsed. The path may then be incomplete.
        """
        surface = self.surfaces.at(path)
        response = refusal if surface is None else reply_for(refusal, surface)
        let_page_read(response, scope, self.allowed_origins)
        response.headers[HEADER.decode()] = request_id_of(scope).decode()
        return response


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_application(
    services: Services, lifespan: Lifespan, surfaces: Sequence[Surface] = (), pages: Sequence[BaseRoute] = ()
) -> Application:
    """Return the application for these services, not yet running. It serves surfaces and pages beside its own API."""
    settings = services.settings
    app = Application(
        title=root.NAME,
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
    )
    app.services = services
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # include_router would match each request twice
    app.router.routes.extend([*websocket.routes, *description.routes, *reference.pages(root.NAME), *pages])
    for surface in surfaces:
        app.router.routes.extend(surface.routes)
    app.surfaces = Surfaces(surfaces)
    app.router.routes = tuple(app.router.routes)  # type: ignore[assignment]  # a route added later would have no target
    app.router.middleware_stack = FoundRoute(app.router.middleware_stack)
    app.allowed_origins = origins = settings.cors_origins

    proxies = TrustedProxies(settings.trusted_proxies)
    of_connections: list[Stage] = [
        # Before this list, `uvicorn_http_protocol` and `connections` limit sizes, times and connections.
        *([partial(ForwardedRequests, proxies=proxies)] if proxies else []),
        *([partial(AllowedOrigins, origins=origins)] if origins else []),
        partial(HeaderChecks, max_body_bytes=settings.max_body_bytes, allowed_origins=origins),
        partial(Routing, routes=app.router.routes, framework=app.entry, hot=HOT),
    ]
    of_calls: list[Stage] = [  # a call is a request or a frame of a WebSocket
        partial(Authorization, access=services.access),
        partial(RequestLimits, limits=services.read_limits),
        RequestTrace,
        KnownQuery,
    ]
    app.state.call = chain(of_calls, call_endpoint)
    app.entry = chain(of_connections, app.state.call)
    errors.install(app)
    describe(app)
    return app


def chain(stages: Iterable[Stage], last: ASGIApp) -> ASGIApp:
    """Return an application that calls the stages in their order, then `last`."""
    for stage in reversed(list(stages)):
        last = stage(last)
    return last
