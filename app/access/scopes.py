"""Declare the scope that each endpoint and each frame of a WebSocket needs."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

_ATTRIBUTE = "access_scope"


class AccessScope(StrEnum):
    """A permission of a principal for the data of its tenant. `admin` is for actions that concern all tenants."""

    SUBMIT = "submit"
    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"


def needs(scope: AccessScope) -> Callable[[T], T]:
    """Declare that an endpoint, or a class of frames, is for principals with this scope."""

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, scope)
        return endpoint

    return declare


def public(endpoint: T) -> T:
    """Declare that an endpoint, or a class of frames, is for everybody."""
    setattr(endpoint, _ATTRIBUTE, None)
    return endpoint


def scope_of(endpoint: object) -> AccessScope | None:
    """Return the declared scope; None for what is public. Raises LookupError without a declaration."""
    try:
        scope: AccessScope | None = getattr(endpoint, _ATTRIBUTE)
    except AttributeError:
        raise LookupError(f"{endpoint!r} declares neither the scope that it needs nor that it is public") from None
    return scope
