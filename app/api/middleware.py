"""The stages between a request's headers and its endpoint. `app.api.application` lists them in their order."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access.principals import Principal
from ..access.rule import Access
from ..access.scopes import AccessScope
from ..errors import InvalidRequest
from .errors import answer, nothing_here, response_to
from .targets import PRINCIPAL, TARGET, TICKET, Target, is_routed_as_sent, target_of

logger = logging.getLogger(__name__)

FOUND = "agent_queue.route"

Endpoint = Callable[[Request], Awaitable[Response]]


class Routing:
    """Finds the target of a request.

    `hot` has endpoints, by method and path, that are called without the framework. `framework` serves all other
    requests.
    """

    def __init__(
        self, app: ASGIApp, *, routes: Sequence[BaseRoute], framework: ASGIApp, hot: Mapping[tuple[str, str], Endpoint]
    ) -> None:
        self._app = app
        self._targets = [(_beginning(route), route, target_of(route, framework)) for route in routes]
        self._no_target = Target(framework, None, None)
        self._hot = []
        for (method, path), endpoint in hot.items():
            route = _route_at(routes, method, path)
            self._hot.append((method, route.path_regex, target_of(route, HotEndpoint(endpoint))))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Store the target in the scope and call the next stage. It is no coroutine function: coroutines cost time."""
        method, path = scope.get("method"), scope["path"]
        for hot_method, pattern, target in self._hot:
            if method == hot_method and (found := pattern.match(path)) is not None:
                scope["path_params"] = found.groupdict()
                scope[TARGET] = target
                return self._app(scope, receive, send)
        scope = routed(scope)
        scope[TARGET] = self._no_target
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for beginning, route, target in self._targets:
            if not path.startswith(beginning):  # the route itself takes ten times as long to tell
                continue
            match, found_in_path = route.matches(scope)
            if match is Match.FULL:
                scope.update(found_in_path)
                scope.update({FOUND: route, TARGET: target})
                break
        else:
            if scope["type"] == "websocket":  # the framework would refuse it with an empty 403
                return answer(nothing_here(), scope, receive, send)
        return self._app(scope, receive, send)


class FoundRoute:
    """Calls the route that `Routing` found, for which the caller was authorized, instead of the router."""

    def __init__(self, router: ASGIApp) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the found route. If there is none, call the router."""
        found: BaseRoute | None = scope.get(FOUND)
        await (self._router(scope, receive, send) if found is None else found.handle(scope, receive, send))


def _beginning(route: BaseRoute) -> str:
    """Return the beginning that all paths of a route have in common."""
    path: str = getattr(route, "path", "")
    return path.partition("{")[0]


def _route_at(routes: Sequence[BaseRoute], method: str, path: str) -> APIRoute:
    """Return the route with this method and path."""
    return next(
        route
        for route in routes
        if isinstance(route, APIRoute) and route.path == path and method in (route.methods or ())
    )


def routed(scope: Scope) -> Scope:
    """Return the scope with the path that is used for routing.

    For `/threads/…` this is the undecoded path, so that `%2F` in a thread id does not separate two parts.
    `app.api.deps.thread_id_in_path` decodes the id.
    """
    raw = scope.get("raw_path")
    if raw is not None and is_routed_as_sent(scope):
        return {**scope, "path": raw.decode("ascii", "replace")}
    return scope


class Authorization:
    """Identifies the caller and refuses callers who may not use the target, by `Access`, which alone decides."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Store the principal in the scope and call the next stage.

        Raises Unauthorized if the caller may not use the server, Forbidden if they lack the scope that the target
        needs.
        """
        target = scope[TARGET]
        needed = target.needs
        if needed is not None:
            if scope.get("query_string") and target.query is not None and TICKET in target.query:
                ticket = ticket_in(scope)
                if ticket is not None:
                    return self._redeem(scope, receive, send, needed, ticket)
            principal = self._access.authorize(scope, needed)
            if principal is None:
                return self._look_up(scope, receive, send, needed)
            scope[PRINCIPAL] = principal
            if principal.session is not None:
                return self._renew(scope, receive, send, principal)
        return self._app(scope, receive, send)

    async def _redeem(self, scope: Scope, receive: Receive, send: Send, needed: AccessScope, ticket: str) -> None:
        """Use up the ticket of a stream or of a WebSocket, then go on."""
        await self._access.redeem(scope, ticket, scope.get("path_params", {}).get("message_id"))
        await self._look_up(scope, receive, send, needed)

    async def _look_up(self, scope: Scope, receive: Receive, send: Send, needed: AccessScope) -> None:
        scope[PRINCIPAL] = principal = await self._access.look_up(scope, needed)
        await self._renew(scope, receive, send, principal)

    async def _renew(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """Go on. If the caller has a session that was used for long, have the response renew its cookie."""
        if principal.session is not None and scope["type"] == "http":
            cookie = await self._access.renewed_cookie(scope, principal)
            send = send if cookie is None else _with_cookie(send, cookie)
        await self._app(scope, receive, send)


def _with_cookie(send: Send, cookie: str) -> Send:
    """Return a `send` that adds a cookie to the response."""

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
        await send(message)

    return send_with_cookie


def ticket_in(scope: Scope) -> str | None:
    """Return the ticket in the query of a request, None if there is none. Raises InvalidRequest for two."""
    if b"ticket" not in scope["query_string"]:
        return None
    found = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == TICKET]
    if len(found) > 1:
        raise InvalidRequest("ticket: give one ticket", field=TICKET)
    return found[0] if found else None


def call_endpoint(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Call the target's endpoint, after the last stage."""
    called: Awaitable[None] = scope[TARGET].endpoint(scope, receive, send)
    return called


class HotEndpoint:
    """Calls an endpoint without the framework's layers.

    The layers cost more time than the rest of a submit and more memory than the rest of a stream. `python -m bench
    submit idle` measures both. The framework has the same route for the description of the API.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the endpoint's response, or the problem for its error."""
        try:
            response = await self._endpoint(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:
            response = response_to(error)
            if response.status_code == 500:
                logger.exception("%s %s failed", scope["method"], scope["path"])
        await response(scope, receive, send)
