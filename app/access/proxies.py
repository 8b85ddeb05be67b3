"""Reads what named proxies say of the requests that they forward: the client's address, the host and the scheme."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from ..errors import AgentQueueError

Headers = Sequence[tuple[bytes, bytes]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDED = b"forwarded"
FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO = b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"
SCHEMES = frozenset(("http", "https"))
MAX_HOPS = 16
"""Maximum number of proxies that are followed back. A client can send a long list of the proxies' own addresses."""

_PAIR = re.compile(
    r"[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9a-z-]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s\",;]+))[ \t]*"
    r"(?P<end>[;,]|\Z)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\[(?P<bracketed>[0-9a-f:.]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}", re.IGNORECASE)


class InvalidForwarding(AgentQueueError):
    """A named proxy sent forwarding headers that cannot be read, or that contradict each other."""

    code = "invalid_forwarding"


class Forwarding(NamedTuple):
    """How a request reached the first named proxy. None stands for what no header says."""

    client: str | None = None
    host: str | None = None
    scheme: str | None = None


NOTHING = Forwarding()


class TrustedProxies:
    """The addresses and networks of the proxies whose forwarding headers are believed.

    A client can send forwarding headers too, and proxies append to them. Therefore the addresses are read from the
    right: the first address that is no named proxy is the client. Whatever is to the left of it, the client may have
    made up.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._networks = tuple(map(ipaddress.ip_network, names))
        self._is_proxy = lru_cache(maxsize=4096)(self._has)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Return whether an address belongs to a named proxy."""
        return self._is_proxy(address)

    def _has(self, address: str) -> bool:
        found = address_of(address)
        return found is not None and any(found in network for network in self._networks)

    def forwarding_of(self, headers: Headers) -> Forwarding:
        """Return what a named proxy says of a request. Raises InvalidForwarding.

        Proxies use either `Forwarded` (RFC 7239) or `X-Forwarded-For`, `-Host` and `-Proto`. Some pass the other kind
        on as the client sent it, so a request in which the two kinds differ is refused.
        """
        standard, usual = self._standard_forwarding(headers), self._usual_forwarding(headers)
        for one, other in zip(standard, usual, strict=True):
            if one is not None and other is not None and one.lower() != other.lower():
                raise InvalidForwarding(
                    "`Forwarded` and `X-Forwarded-*` say different things of this request. Have the proxy remove the "
                    "headers that it does not set itself."
                )
        return Forwarding(*(one if one is not None else other for one, other in zip(standard, usual, strict=True)))

    def _usual_forwarding(self, headers: Headers) -> Forwarding:
        """Return what `X-Forwarded-*` say. Host and scheme are those that the nearest proxy wrote, the last ones."""
        client, _ = self._client(_listed(headers, FORWARDED_FOR))
        host = next(reversed(_listed(headers, FORWARDED_HOST)), None)
        scheme = next(reversed(_listed(headers, FORWARDED_PROTO)), None)
        return Forwarding(client, host, _known_scheme(scheme))

    def _standard_forwarding(self, headers: Headers) -> Forwarding:
        """Return what `Forwarded` says. Host and scheme are those that came with the client's address."""
        lines = [value.decode("latin-1") for name, value in headers if name == FORWARDED]
        elements = list(chain.from_iterable(map(_elements, lines)))
        if not elements:
            return NOTHING
        client, hops = self._client([element.get("for", "") for element in elements])
        first = elements[-max(hops, 1)]
        return Forwarding(client, first.get("host"), _known_scheme(first.get("proto")))

    def _client(self, addresses: Sequence[str]) -> tuple[str | None, int]:
        """Return the client's address, and how many addresses from the right were read. None if no address is valid."""
        client, hops = None, 0
        for text in reversed(addresses[-MAX_HOPS:]):
            found = address_of(text)
            if found is None:
                break
            client, hops = str(found), hops + 1
            if client not in self:
                break
        return client, hops


def address_of(text: str) -> Address | None:
    """Return the address in a text, which may have a port. None if there is none.

    An IPv4 address within an IPv6 address is returned as an IPv4 address.
    """
    found = _ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address(text if found is None else found["bracketed"] or found["v4"])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _listed(headers: Headers, name: bytes) -> list[str]:
    """Return the values of a header that is a list, over all of its lines."""
    lines = (value.decode("latin-1") for key, value in headers if key == name)
    return [value for line in lines for value in map(str.strip, line.split(",")) if value]


def _elements(line: str) -> Iterator[dict[str, str]]:
    """Yield the elements of a header `Forwarded`, each with its parameters by name. Raises InvalidForwarding."""
    element: dict[str, str] = {}
    place = 0
    while place < len(line):
        if not element and line[place] in ", \t":
            place += 1
            continue
        found = _PAIR.match(line, place)
        if found is None or found["name"].lower() in element:
            raise InvalidForwarding("The header `Forwarded` does not have the form of RFC 7239.")
        quoted = found["quoted"]
        element[found["name"].lower()] = found["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        place = found.end()
        if found["end"] != ";":
            yield element
            element = {}
    if element:
        yield element


def _known_scheme(scheme: str | None) -> str | None:
    known = (scheme or "").lower()
    return known if known in SCHEMES else None
