"""Targets of requests and WebSocket frames: the endpoint, the access scope that it needs, and its query parameters."""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Scope

from ..access.principals import Principal
from ..access.scopes import AccessScope, scope_of

METADATA = "metadata."
ANY_METADATA = f"{METADATA}KEY"
"""Stands for the query parameters that filter by a key of the metadata. An endpoint that knows them declares it."""

TICKET = "ticket"
"""The query parameter with a ticket. An endpoint that knows it admits callers with a ticket."""

TARGET = "agent_queue.target"
PRINCIPAL = "agent_queue.principal"
"""Keys that the stages set in the ASGI scope."""


T = TypeVar("T")

_ANY_QUERY = "_takes_any_query"
_KNOWN = "_known_query"


def takes_any_query(endpoint: T) -> T:
    """Declare that an endpoint ignores query parameters that it does not know, as a protocol wants it."""
    setattr(endpoint, _ANY_QUERY, True)
    return endpoint


class Target(NamedTuple):
    """The endpoint of a request, the scope that callers need (None: public), and the query parameters that it knows.

    `query` is None if the endpoint checks the query itself. `takes_any_query`: it ignores parameters that it does not
    know.
    """

    endpoint: ASGIApp
    needs: AccessScope | None
    query: frozenset[str] | None
    takes_any_query: bool = False


def target_of(route: BaseRoute, endpoint: ASGIApp) -> Target:
    """Return the target of a route that `endpoint` serves.

    Raises LookupError if the route declares no scope or is of an unknown kind.
    """
    match route:
        case APIRoute():
            return Target(endpoint, scope_of(route.endpoint), _known_query(route), hasattr(route.endpoint, _ANY_QUERY))
        case WebSocketRoute():
            return Target(endpoint, scope_of(route.endpoint), frozenset((TICKET,)))
        case Route():
            return Target(endpoint, scope_of(route.endpoint), frozenset())
        case Mount():
            return Target(endpoint, scope_of(route.app), None)
        case _:
            raise LookupError(f"{route!r} is a route of an unknown kind")


_WITH_NAME = re.compile(r"((/[a-z_]+)?/threads|/subjects|/tenants|/api/chat|/v1/conversations|/agui/[^/]+)/")


def is_routed_as_sent(scope: Scope) -> bool:
    """Return whether a request is routed by its path as it was sent, not decoded.

    It is below `/subjects/` or `/tenants/`, where names follow. Or it is below `/threads/`, also below the `/threads/`
    of a surface, or below `/api/chat/`, `/v1/conversations/` or an agent of `/agui/`, where ids of threads follow.
    """
    return _WITH_NAME.match(scope["path"].removeprefix(scope.get("root_path", ""))) is not None


def principal_of(connection: HTTPConnection) -> Principal:
    """Return the principal of a request. Requests to public endpoints have none."""
    principal: Principal = connection.scope[PRINCIPAL]
    return principal


def _known_query(route: APIRoute) -> frozenset[str]:
    """Return the names of the query parameters of a route. It keeps them: applications share most routes."""
    known: frozenset[str] | None = getattr(route, _KNOWN, None)
    if known is None:
        known = frozenset(_declared(route.dependant))
        setattr(route, _KNOWN, known)
    return known


def _declared(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query parameters of an endpoint and of its dependencies."""
    yield from (parameter.alias for parameter in dependant.query_params)
    for needed in dependant.dependencies:
        yield from _declared(needed)
