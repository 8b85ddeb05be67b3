"""Checks values that settings and requests have."""

import base64
import binascii
import ipaddress
import re

SIGNING_PREFIX = "whsec_"

PROXY_ROLES = ("end_user", "viewer", "operator", "admin")
"""The roles of a proxy's users, as `app.access.proxy_users` has them."""

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")
_HEADERS_OF_OTHERS = frozenset(
    (
        "authorization", "x-api-key", "cookie", "host", "origin", "forwarded", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-proto", "idempotency-key", "x-csrf-token", "content-type", "content-length", "user-agent",
    )
)  # fmt: skip

_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")


def checked_origin(origin: str) -> str:
    """Return an origin unchanged. Raises ValueError unless it has the form that browsers send.

    Refuse `*`: there is no login yet, so any page open on this host could read all messages.
    """
    if origin == "*":
        raise ValueError("expected origins by their names: with * any page could read and change everything")
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError("expected origins such as https://app.example.com or http://localhost:3000, without a path")
    if (found["scheme"], found["port"]) in (("http", "80"), ("https", "443")):
        raise ValueError("expected no default port, since browsers do not send it")
    return origin


def checked_proxy(name: str) -> str:
    """Return the address or network of a proxy in its usual form. Raises ValueError for anything else.

    Refuse a network of all addresses: every client could then give itself any address.
    """
    try:
        network = ipaddress.ip_network(name)
    except ValueError:
        raise ValueError("expected addresses and networks such as 10.0.0.5 or 10.0.0.0/24, without host bits") from None
    if network.prefixlen == 0:
        raise ValueError("expected the proxies by their addresses: with all addresses, clients could name any address")
    return name


def checked_header(name: str) -> str:
    """Return the name of a header in lower case. Raises ValueError for others than a proxy may name users in."""
    lower = name.lower()
    if not _HEADER.fullmatch(lower):
        raise ValueError("expected the name of a header, such as X-Auth-Request-User")
    if lower in _HEADERS_OF_OTHERS:
        raise ValueError("expected a header that the proxy sets for this alone: this one has another meaning")
    return lower


def roles_in(text: str) -> dict[str, str]:
    """Return the role of each group in `group=role,…`. Raises ValueError."""
    roles: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        group, equals, role = (part.strip() for part in entry.rpartition("="))
        if not (group and equals) or role not in PROXY_ROLES:
            raise ValueError(
                f"expected group=role, separated by commas, with the roles {', '.join(PROXY_ROLES)}; "
                f"{entry!r} is none. The group * has all users"
            )
        if group in roles:
            raise ValueError(f"the group {group!r} appears twice")
        roles[group] = role
    if not roles:
        raise ValueError("expected at least one group=role, such as *=viewer")
    return roles


def signing_keys(secret: str) -> tuple[bytes, ...]:
    """Return the bytes of one secret for webhooks, or of two secrets separated by a space.

    Raises ValueError unless each secret is the prefix and 24 to 64 bytes in base64.
    """
    expected = f"expected {SIGNING_PREFIX} and 24 to 64 bytes in base64, at most two of these with a space between"
    secrets = secret.split()
    if not (1 <= len(secrets) <= 2 and all(each.startswith(SIGNING_PREFIX) for each in secrets)):
        raise ValueError(expected)
    try:
        keys = tuple(base64.b64decode(each.removeprefix(SIGNING_PREFIX), validate=True) for each in secrets)
    except binascii.Error:
        raise ValueError(expected) from None
    if not all(24 <= len(key) <= 64 for key in keys):
        raise ValueError(expected)
    return keys
