"""Calls URLs that users give, and only on public hosts.

A URL is parsed once, its host is resolved once, and all addresses of the host are checked. The connection uses one of
these addresses, so a second parse or lookup cannot redirect it. TLS and `Host` keep the name. Proxies from the
environment are ignored, and redirects are not followed.
"""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import httpcore2

from ..errors import InvalidRequest

MAX_URL_LENGTH = 2048
MAX_REPLY_BYTES = 64 * 1024
RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 5.0
"""Time limit for a connection to an address when other addresses remain."""

PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"https": 443, "http": 80}
FIELD = "webhook_url"
UNKNOWN_HOST = "an unknown host"
PRIVATE_HINT = " WEBHOOK_ALLOW_PRIVATE=true allows receivers in your own network."

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host and port as text, in the order in which to try them. Raises OSError."""

Address = IPv4Address | IPv6Address

# `is_global` depends on Python's version. In Python 3.11 it is true for some of these networks.
NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address at which a cloud serves its machines
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "2002::/16",  # contains an IPv4 address
        "3fff::/20",
    )
)
GLOBAL_UNICAST = ip_network("2000::/3")
"""All public IPv6 addresses, without site-local addresses and NAT64 addresses."""

NEVER_CALLED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.192/32",
        "64:ff9b:1::/48",  # NAT64 of one network; an IPv4 address may be anywhere in it
        "224.0.0.0/3",
        "fd00:42::42/128",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fe80::/10",
        "ff00::/8",
    )
)
"""Networks that are always refused: link-local, multicast, and networks where clouds serve machines' secrets."""

TRANSLATED = tuple(
    (ip_network(network), shift)
    for network, shift in (
        ("::/96", 0),
        ("::ffff:0:0:0/96", 0),
        ("64:ff9b::/96", 0),
        ("2002::/16", 80),
        ("2001::/32", 64),
    )
)
"""IPv6 networks whose addresses contain an IPv4 address, and the number of bits after the IPv4 address.

They are compatible and translated addresses, NAT64, 6to4, and Teredo (the server's address).
"""

TEREDO_NETWORK = ip_network("2001::/32")

ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 95 of addresses whose last 32 bits are an IPv4 address, in any network."""

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)


class Destination(NamedTuple):
    """A URL that the server may call, with the checked addresses of its host."""

    scheme: str
    host: str
    port: int
    target: str
    authority: str
    addresses: tuple[str, ...]


class CallFailed(Exception):
    """A call that got no answer. Its text is safe to show to the owner of the URL."""


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system's resolver has for a host. Raises OSError, UnicodeError.

    Each lookup runs on a new thread, so that a lookup that hangs blocks no other work.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(addresses)
        else:
            answer.set_exception(error)

    def ask() -> None:
        addresses: list[str] = []
        failure: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [str(address[0]) for *_, address in found]
        except (OSError, UnicodeError) as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await answer


def remembering(resolve: Resolve) -> Resolve:
    """Return a resolver that calls `resolve` once per host and port, to check many URLs."""
    answers: dict[tuple[str, int], Sequence[str]] = {}

    async def remembered(host: str, port: int) -> Sequence[str]:
        if (host, port) not in answers:
            answers[host, port] = await resolve(host, port)
        return answers[host, port]

    return remembered


def is_public(address: Address) -> bool:
    """Return whether the address means the same host everywhere on the internet."""
    address = _unmapped(address)
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    if not address.is_global or any(address in network for network in NOT_PUBLIC):
        return False
    return all(is_public(each) for each in _ipv4_within(address))


async def check_webhook_url(url: str, *, allow_private: bool, resolve: Resolve = resolve_host) -> None:
    """Raise InvalidRequest unless this server may call the URL. `allow_private` works as in `find_destination`."""
    await find_destination(url, allow_private=allow_private, resolve=resolve)


async def find_destination(url: str, *, allow_private: bool, resolve: Resolve = resolve_host) -> Destination:
    """Parse the URL, resolve its host and check its addresses. Raises InvalidRequest.

    `allow_private` allows `http`, any port, and addresses of this host and its networks. Link-local addresses are
    always refused, since clouds serve machines' secrets there. Private IPv4 addresses inside IPv6 addresses are always
    refused, since they would bypass a network's rules for IPv4.
    """
    parts, host, port = _checked_parts(url, allow_private)
    addresses = _literal(host)
    if not addresses:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                addresses = tuple(await resolve(host, port))
        except (OSError, UnicodeError):  # a TimeoutError is an OSError
            addresses = ()
    if not addresses:
        raise _refused("the host has no address. Check its name")
    if not all(_may_be_called(address, allow_private) for address in addresses):
        raise _refused("the host is not public", "" if allow_private else PRIVATE_HINT)
    name = host.removesuffix(".")  # certificates name hosts without a final dot
    bracketed = _bracketed(name)
    return Destination(
        scheme=parts.scheme,
        host=name,
        port=port,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        authority=bracketed if port == DEFAULT_PORTS[parts.scheme] else f"{bracketed}:{port}",
        addresses=tuple(dict.fromkeys(addresses)),
    )


def host_of(url: str) -> str:
    """Return the host of a URL for the log. Paths and queries may hold secrets."""
    try:
        return urlsplit(url).hostname or UNKNOWN_HOST
    except ValueError:
        return UNKNOWN_HOST


def certificate_checks() -> ssl.SSLContext:
    """Return a TLS context that trusts the system's certificates, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    It reads files, so keep the result.
    """
    return httpcore2.default_ssl_context()


class Reply(NamedTuple):
    """An answer: its status, and the first MAX_REPLY_BYTES of its body at most."""

    status: int
    body: bytes


async def post(destination: Destination, body: bytes, headers: Mapping[str, str], checks: ssl.SSLContext) -> int:
    """POST the body to one of the checked addresses and return the status. Works as `call` does."""
    return (await call("POST", destination, body, headers, checks)).status


async def fetch(url: str, checks: ssl.SSLContext) -> bytes:
    """GET what an operator's own URL has, which may be in a private network. Raises OSError with a text for the log."""
    try:
        destination = await find_destination(url, allow_private=True)
        reply = await call("GET", destination, b"", {"Accept": "application/json"}, checks)
    except (InvalidRequest, CallFailed) as error:
        raise OSError(str(error).removeprefix(f"{FIELD}: ")) from None
    if reply.status != 200 or len(reply.body) >= MAX_REPLY_BYTES:
        raise OSError(f"the answer has the status {reply.status} and {len(reply.body)} bytes")
    return reply.body


async def call(
    method: str, destination: Destination, body: bytes, headers: Mapping[str, str], checks: ssl.SSLContext
) -> Reply:
    """Send a request to one of the checked addresses and return the answer.

    `checks` is the TLS context from `certificate_checks`. Reads at most about MAX_REPLY_BYTES of the answer and sets no
    time limit. Raises CallFailed.
    """
    url = httpcore2.URL(
        scheme=destination.scheme.encode(),
        host=destination.host.encode(),
        port=destination.port,
        target=destination.target.encode(),
    )
    pinned = _PinnedBackend(destination.addresses)
    try:
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=checks, network_backend=pinned) as pool,
            pool.stream(
                method, url, headers=[("Host", destination.authority), *headers.items()], content=body
            ) as response,
        ):
            read = bytearray()
            async for part in response.aiter_stream():
                read += part
                if len(read) >= MAX_REPLY_BYTES:
                    break
            return Reply(int(response.status), bytes(read))
    except httpcore2.ConnectError as error:
        reason = error.__cause__ or error.__context__
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise CallFailed(f"The certificate is not valid: {reason.verify_message.rstrip('.')}.") from error
        raise CallFailed("The connection failed.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise CallFailed("The connection was lost, or the answer was not HTTP.") from error


class _PinnedBackend(httpcore2.AnyIOBackend):
    """Connects to the given addresses, whatever host is requested."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  the parameter's name in the library
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first reachable address. Nothing is sent before, so trying the next address is safe."""
        *others, last = self._addresses
        for address in others:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return await super().connect_tcp(address, port, CONNECT_SECONDS, local_address, socket_options)
        return await super().connect_tcp(last, port, timeout, local_address, socket_options)


def _refused(why: str, hint: str = "") -> InvalidRequest:
    return InvalidRequest(f"{FIELD}: {why}.{hint}", field=FIELD)


def _checked_parts(url: str, allow_private: bool) -> tuple[SplitResult, str, int]:
    """Return the parts, host and port of a URL whose text is acceptable. Raises InvalidRequest.

    Unusual URLs are refused, since two parsers could read them differently.
    """
    if len(url) > MAX_URL_LENGTH:
        raise _refused(f"at most {MAX_URL_LENGTH} characters are allowed")
    if not all("!" <= character <= "~" and character != "\\" for character in url):
        raise _refused("only visible ASCII characters are allowed. Write others as %XX, in the host as xn--")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("this is not a URL") from None
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        if allow_private:
            raise _refused("only https:// and http:// are allowed")
        raise _refused("only https:// is allowed", PRIVATE_HINT if parts.scheme == "http" else "")
    if "@" in parts.netloc:
        raise _refused("a user name or a password is not allowed")
    host = parts.hostname or ""
    if not _is_host(host) or not re.fullmatch(re.escape(_bracketed(host)) + "(:[0-9]+)?", parts.netloc, re.IGNORECASE):
        raise _refused("expected the name of a host, or its address in the usual form")
    if port is None:
        port = DEFAULT_PORTS[parts.scheme]
    if port == 0 or (port not in PORTS and not allow_private):
        raise _refused("only the ports 443 and 8443 are allowed", PRIVATE_HINT if port else "")
    return parts, host, port


def _is_host(host: str) -> bool:
    """Return whether `host` is a name, or an address in the usual form.

    The system's resolver also accepts `2130706433`, `0177.1` and `0x7f.1` as addresses. Only attackers use these forms.
    """
    if ":" in host or _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return bool(_literal(host))
    return len(host) <= 253 and _NAME.fullmatch(host) is not None


def _bracketed(host: str) -> str:
    """Return the host as a URL writes it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def _literal(host: str) -> tuple[str, ...]:
    """Return `host` in a tuple if it is an address. Return an empty tuple for a name or an address with a zone."""
    try:
        return () if "%" in host else (str(ip_address(host)),)
    except ValueError:
        return ()


def _unmapped(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address


def _ipv4_within(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses to which packets for `address` may be forwarded."""
    if isinstance(address, IPv4Address) or address in (IPv6Address("::"), IPv6Address("::1")):
        return []
    bits = int(address)
    found = [bits >> shift for network, shift in TRANSLATED if address in network]
    if address in TEREDO_NETWORK:
        found.append(~bits)  # the client's address is stored inverted
    if bits >> 32 & 0xFFFFFFFF in ISATAP:
        found.append(bits)
    return [IPv4Address(each & 0xFFFFFFFF) for each in found]


def _may_be_called(text: str, allow_private: bool) -> bool:
    try:
        address = _unmapped(ip_address(text))
    except ValueError:
        return False
    if allow_private:
        refused = address.is_unspecified or any(address in network for network in NEVER_CALLED)
        return not refused and all(is_public(each) for each in _ipv4_within(address))
    return is_public(address)
