"""Refuse query parameters that a route does not know, ahead of all routes. A misspelt filter would filter nothing."""

from collections.abc import Awaitable, Collection, Iterator, Sequence
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import MAX_ERRORS_TOLD, problem
from app.api.gate import answer
from app.api.limits import routed
from app.api.schemas import ProblemError


class KnownQuery:
    """Answer requests with unknown query parameters with 422. A request without a query costs one look at its scope.

    The routes with a path in `first` are tried first; no other route may match their requests.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], first: Collection[str] = ()) -> None:
        self._app = app
        ordered = sorted(routes, key=lambda route: getattr(route, "path", None) not in first)
        self._routes = [(route, known_names(route)) for route in ordered]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """See ASGI. No coroutine, since each of them costs a request."""
        if scope.get("query_string"):
            refusal = self._refusal(scope)
            if refusal is not None:
                return answer(refusal, scope, receive, send)
        return self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        sent = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        known = self._known(scope) if sent else None
        if known is None or known.issuperset(sent):
            return None
        told = f"Known here: {', '.join(sorted(known))}." if known else "This request takes none."
        unknown = [name for name in sent if name not in known][:MAX_ERRORS_TOLD]
        errors = [ProblemError(field=name, detail=f"Unknown query parameter. {told}") for name in unknown]
        names = ", ".join(repr(name) for name in unknown)
        return problem(422, "validation_error", f"Unknown query parameters: {names}. {told}", errors=errors)

    def _known(self, scope: Scope) -> frozenset[str] | None:
        """Return the names that the route of this request knows. None: it has no route, or the route takes any."""
        scope = routed(scope)
        for route, known in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return known
        return None


def known_names(route: BaseRoute) -> frozenset[str] | None:
    """Return the query parameters that a route declares. None: it is a mount, which sees to that itself."""
    match route:
        case APIRoute():
            return frozenset(_declared(route.dependant))
        case Route() | WebSocketRoute():
            return frozenset()
        case _:
            return None


def _declared(dependant: Dependant) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for needed in dependant.dependencies:
        yield from _declared(needed)
