"""Parses and compares hosts: in the headers `Host` and `Origin`, and in the target of a request."""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_PORT = 65535
IPV6_PREFIX = 64
"""Length of the prefix that one user of IPv6 has."""

DEFAULT_PORTS = frozenset((None, 80, 443))
_HOST = re.compile(r"(?P<name>[a-z0-9_](?:[a-z0-9_.-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?", re.I)


class Host(NamedTuple):
    """A host from a `Host` header, in lower case, without brackets and without a final dot.

    `port` is None if the header has no port.
    """

    name: str
    port: int | None


@lru_cache(maxsize=1024)
def parse_host(header: bytes) -> Host | None:
    """Return the host in a `Host` header, with its port if there is one. Return None if the header is invalid."""
    found = _HOST.fullmatch(header.decode("latin-1"))
    if found is None:
        return None
    name, port = found["name"].lower().removesuffix("."), found["port"]
    if name.startswith("["):
        name = name[1:-1]
        try:
            ipaddress.IPv6Address(name)
        except ValueError:
            return None
    if port is not None and int(port) > MAX_PORT:
        return None
    return Host(name, None if port is None else int(port))


def same_authority(one: bytes, other: bytes) -> bool:
    """Return whether two `host:port` texts, a request's target and its `Host`, name the same host and port."""
    first, second = parse_host(one), parse_host(other)
    return (
        first is not None and second is not None and first.name == second.name and _same_port(first.port, second.port)
    )


def _same_port(one: int | None, other: int | None) -> bool:
    return one == other or {one, other} <= DEFAULT_PORTS


@lru_cache(maxsize=1024)
def is_loopback(name: str) -> bool:
    """Return whether the name is `localhost` or a loopback address in its usual form."""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


@lru_cache(maxsize=1024)
def is_own_page(origin: str, host: Host | None) -> bool:
    """Return whether a page with this `Origin` belongs to this host.

    It does if it has the host's name, or if both are loopback. Ports are ignored, since proxies drop their port from
    `Host`.
    """
    try:
        parts = urlsplit(origin)
        page = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return False
    if host is None or not page or parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        return False
    return page == host.name or (is_loopback(page) and is_loopback(host.name))


def prefix_of(address: str) -> str:
    """Return an address of IPv4, and the prefix of an address of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
