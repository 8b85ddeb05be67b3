"""Declares the scope that each endpoint and each class of WebSocket frames needs."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

_ATTRIBUTE = "access_scope"


class AccessScope(StrEnum):
    """A permission of a principal for the data of its tenant. `admin` allows actions that affect all tenants.

    `metrics` allows to read the metrics of the server.
    """

    SUBMIT = "submit"
    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"
    METRICS = "metrics"


def needs(scope: AccessScope) -> Callable[[T], T]:
    """Return a decorator that declares the scope that an endpoint or a class of WebSocket frames needs."""

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, scope)
        return endpoint

    return declare


def public(endpoint: T) -> T:
    """Declare that everybody may call an endpoint or send a class of WebSocket frames."""
    setattr(endpoint, _ATTRIBUTE, None)
    return endpoint


def scope_of(endpoint: object) -> AccessScope | None:
    """Return the declared scope of an endpoint or a class of WebSocket frames; None if it is public.

    Raises LookupError if nothing was declared.
    """
    try:
        scope: AccessScope | None = getattr(endpoint, _ATTRIBUTE)
    except AttributeError:
        raise LookupError(f"{endpoint!r} declares no scope and is not declared public") from None
    return scope
