"""Admits the users whom a named proxy has signed in, by the headers in which it names them."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from starlette.types import Scope

from ..errors.access import NoRole
from ..models.messages import DEFAULT_TENANT
from ..models.types import SUBJECT_MAX_LENGTH
from ..text import on_one_line, storable
from .principals import Principal
from .proxies import InvalidForwarding
from .scopes import AccessScope
from .sessions import check_own_page

ISSUER = "proxy"
"""Stands for the proxy in tickets, where tokens have the issuer of the identity provider."""

EVERYBODY = "*"
"""The group of all users."""


class ProxyRole(StrEnum):
    """A set of rights for a group of users. `end_user` submits and sees messages of their own only."""

    END_USER = "end_user"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


SCOPES: Mapping[ProxyRole, frozenset[AccessScope]] = MappingProxyType(
    {
        ProxyRole.END_USER: frozenset((AccessScope.SUBMIT, AccessScope.READ)),
        ProxyRole.VIEWER: frozenset((AccessScope.READ,)),
        ProxyRole.OPERATOR: frozenset((AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)),
        ProxyRole.ADMIN: frozenset(AccessScope),
    }
)
"""The scopes of each role."""


class ProxyRules(NamedTuple):
    """The headers that name the user, their groups and their tenant, in lower case, and the roles of groups.

    Without `tenant_header`, all users are of the default tenant.
    """

    user_header: str
    groups_header: str | None
    tenant_header: str | None
    roles: Mapping[str, ProxyRole]


class ProxyUsers:
    """Returns the principals of requests whose users a named proxy has signed in.

    The headers are read anew for each request, so a user who has left a group loses its role at once. The caller has to
    make sure that a named proxy sent the request. `lasts` is how long a stream stays open without another request.
    """

    def __init__(self, rules: ProxyRules, now: Callable[[], datetime], lasts: timedelta) -> None:
        self._rules = rules
        self._now = now
        self._lasts = lasts

    def principal_of(self, connection: Scope) -> Principal | None:
        """Return the principal of a request, None if the proxy names no user.

        Raises InvalidForwarding if a header cannot be read, NoRole if no group of the user has a role, CsrfFailed if
        a page of another origin sends a request that changes something.
        """
        rules = self._rules
        user = self._name_in(connection, rules.user_header)
        if user is None:
            return None
        check_own_page(connection)
        tenant = DEFAULT_TENANT
        if rules.tenant_header is not None:
            named = self._name_in(connection, rules.tenant_header)
            if named is None:
                raise InvalidForwarding(f"The proxy named a user and no tenant in `{rules.tenant_header}`.")
            tenant = named
        roles = self._roles_of(connection)
        if not roles:
            raise NoRole
        scopes = frozenset[AccessScope]().union(*(SCOPES[role] for role in roles))
        is_narrowed = roles == {ProxyRole.END_USER}
        return Principal(
            tenant,
            scopes,
            subject=user if is_narrowed else None,
            by_token=True,
            issuer=ISSUER,
            user=user,
            until=self._now() + self._lasts,
        )

    def _roles_of(self, connection: Scope) -> set[ProxyRole]:
        rules = self._rules
        groups = {EVERYBODY}
        if rules.groups_header is not None:
            values = _values(connection, rules.groups_header)
            groups |= {group for value in values for group in map(str.strip, value.split(",")) if group}
        return {role for group, role in rules.roles.items() if group in groups}

    def _name_in(self, connection: Scope, header: str) -> str | None:
        values = _values(connection, header)
        if len(values) > 1:
            raise InvalidForwarding(f"The header `{header}` came twice. Have the proxy replace what clients send.")
        if not values or not values[0]:
            return None
        try:
            if len(values[0]) <= SUBJECT_MAX_LENGTH:
                return on_one_line(storable(values[0]))
        except ValueError:
            pass
        raise InvalidForwarding(f"The header `{header}` has no text of 1 to {SUBJECT_MAX_LENGTH} characters.")


def _values(connection: Scope, header: str) -> list[str]:
    """Return the values of all lines of a header. Raises InvalidForwarding if one is not UTF-8."""
    name = header.encode()
    try:
        return [value.decode("utf-8").strip() for key, value in connection["headers"] if key == name]
    except UnicodeDecodeError:
        raise InvalidForwarding(f"The header `{header}` is not UTF-8.") from None
