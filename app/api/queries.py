"""Refuse query parameters that a route does not know, ahead of it. A misspelt filter would filter nothing."""

from collections.abc import Awaitable, Iterator, Sequence
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

MAX_NAME_TOLD = 100
"""Characters of an unknown name that are repeated in the answer."""


class KnownQuery:
    """Refuse unknown query parameters. A request without a query costs one look at its scope."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = [(route, known_names(route)) for route in routes]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """See ASGI. No coroutine, since each of them costs a request."""
        if scope.get("query_string"):
            refusal = query_refusal(scope, self._known(scope))
            if refusal is not None:
                return answer(refusal, scope, receive, send)
        return self._app(scope, receive, send)

    def _known(self, scope: Scope) -> frozenset[str] | None:
        """Return the names that the route of this request knows. None: it has no route, or the route takes any."""
        scope = routed(scope)
        for route, known in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return known
        return None


def query_refusal(scope: Scope, known: frozenset[str] | None) -> Response | None:
    """Return the answer to a request with parameters that are not among the known ones, of which None has all."""
    query: str = scope["query_string"].decode("latin-1")
    if known is None or known.issuperset([field.partition("=")[0] for field in query.split("&")]):
        return None
    sent = dict(parse_qsl(query, keep_blank_values=True))
    if known.issuperset(sent):
        return None
    told = f"Known here: {', '.join(sorted(known))}." if known else "This request takes none."
    unknown = [_shortened(name) for name in sent if name not in known][:MAX_ERRORS_TOLD]
    errors = [ProblemError(field=name, detail=f"Unknown query parameter. {told}") for name in unknown]
    names = ", ".join(repr(name) for name in unknown)
    return problem(422, "validation_error", f"Unknown query parameters: {names}. {told}", errors=errors)


def _shortened(name: str) -> str:
    """Return the beginning of a name that is sent back."""
    return name if len(name) <= MAX_NAME_TOLD else f"{name[:MAX_NAME_TOLD]}…"


def names_known_to(routes: Sequence[BaseRoute], method: str, path: str) -> frozenset[str] | None:
    """Return the query parameters that the route of this method and path declares."""
    return next(
        known_names(route)
        for route in routes
        if isinstance(route, APIRoute) and route.path == path and method in (route.methods or ())
    )


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
