"""Refuse query parameters that a route does not know, ahead of it. A misspelt filter would filter nothing.

What a route knows is told to those who may use it: whoever may not is refused first, as they would be by the route.
"""

from collections.abc import Awaitable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access.rule import authenticate
from ..errors import Unauthorized
from .errors import MAX_ERRORS_TOLD, problem, response_to
from .gate import answer
from .middleware import routed
from .schemas.messages import ProblemError

MAX_NAME_TOLD = 100
"""Characters of an unknown name that are repeated in the answer."""


class RouteQuery(NamedTuple):
    """The query parameters of a route. `names` of None takes any. An open route serves everybody."""

    names: frozenset[str] | None
    is_open: bool


class KnownQuery:
    """Refuse unknown query parameters. A request without a query costs one look at its scope."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], *, allow_anonymous: bool) -> None:
        self._app = app
        self._routes = [(route, query_of(route)) for route in routes]
        self._allow_anonymous = allow_anonymous

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """See ASGI. No coroutine, since each of them costs a request."""
        if scope.get("query_string") and (query := self._query(scope)) is not None:
            refusal = query_refusal(scope, query, allow_anonymous=self._allow_anonymous)
            if refusal is not None:
                return answer(refusal, scope, receive, send)
        return self._app(scope, receive, send)

    def _query(self, scope: Scope) -> RouteQuery | None:
        """Return what the route of this request knows. None: it has no route."""
        scope = routed(scope)
        for route, query in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return query
        return None


def query_refusal(scope: Scope, query: RouteQuery, *, allow_anonymous: bool) -> Response | None:
    """Return the answer to a request with parameters that its route does not know; None where it knows all of them."""
    known = query.names
    text: str = scope["query_string"].decode("latin-1")
    if known is None or known.issuperset([field.partition("=")[0] for field in text.split("&")]):
        return None
    sent = dict(parse_qsl(text, keep_blank_values=True))
    if known.issuperset(sent):
        return None
    if not query.is_open:
        try:
            authenticate(HTTPConnection(scope), allow_anonymous=allow_anonymous)
        except Unauthorized as error:
            return response_to(error)
    told = f"Known here: {', '.join(sorted(known))}." if known else "This request takes none."
    unknown = [_shortened(name) for name in sent if name not in known][:MAX_ERRORS_TOLD]
    errors = [ProblemError(field=name, detail=f"Unknown query parameter. {told}") for name in unknown]
    names = ", ".join(repr(name) for name in unknown)
    return problem(422, "validation_error", f"Unknown query parameters: {names}. {told}", errors=errors)


def _shortened(name: str) -> str:
    """Return the beginning of a name that is sent back."""
    return name if len(name) <= MAX_NAME_TOLD else f"{name[:MAX_NAME_TOLD]}…"


def query_for(routes: Sequence[BaseRoute], method: str, path: str) -> RouteQuery:
    """Return what the route of this method and path knows."""
    return next(
        query_of(route)
        for route in routes
        if isinstance(route, APIRoute) and route.path == path and method in (route.methods or ())
    )


def query_of(route: BaseRoute) -> RouteQuery:
    """Return what a route knows. A mount sees to its queries itself. Routes that ask who is asking declare a 401."""
    match route:
        case APIRoute():
            return RouteQuery(frozenset(_declared(route.dependant)), 401 not in route.responses)
        case Route():
            return RouteQuery(frozenset(), is_open=True)
        case WebSocketRoute():
            return RouteQuery(frozenset(), is_open=False)
        case _:
            return RouteQuery(None, is_open=True)


def _declared(dependant: Dependant) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for needed in dependant.dependencies:
        yield from _declared(needed)
