"""Headers of proxies describe a request, and are believed in part."""

from typing import Any

import pytest

from app.access.proxies import Forwarding, InvalidForwarding, TrustedProxies, address_of
from app.api.forwarding import ForwardedRequests
from app.config import load_settings
from app.errors import ConfigurationError

PROXIES = TrustedProxies(["127.0.0.1", "10.1.0.0/16", "2001:db8::/32"])


def headers(*lines: str) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(": ") for line in lines)
    return [(name.lower().encode(), value.encode("latin-1")) for name, _, value in pairs]


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.1.255.255", True),
        ("::ffff:10.1.0.1", True),
        ("10.2.0.1", False),
        ("2001:db8::9", True),
        ("2001:DB8:0::9", True),
        ("::1", False),
        ("10.1.0.1.evil.example", False),
        ("testclient", False),
        ("", False),
    ],
)
def test_a_proxy_is_named_by_its_address_or_network(address: str, named: bool) -> None:
    assert (address in PROXIES) is named


SAID = {
    "nothing": ([], Forwarding()),
    "the usual headers": (
        ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: queue.example:444"],
        Forwarding("203.0.113.9", "queue.example:444", "https"),
    ),
    "what a client wrote is not read": (
        ["X-Forwarded-For: 127.0.0.1, 192.0.2.1, 203.0.113.9"],
        Forwarding("203.0.113.9"),
    ),
    "over lines": (["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 203.0.113.9, 10.1.0.7"], Forwarding("203.0.113.9")),
    "through two proxies": (["X-Forwarded-For: 192.0.2.1, 203.0.113.9,10.1.0.7 "], Forwarding("203.0.113.9")),
    "through a proxy that is not named": (["X-Forwarded-For: 203.0.113.9, 10.2.0.7, 10.1.0.7"], Forwarding("10.2.0.7")),
    "from a proxy": (["X-Forwarded-For: 10.1.0.8, 10.1.0.7"], Forwarding("10.1.0.8")),
    "with ports": (["X-Forwarded-For: 203.0.113.9:4711"], Forwarding("203.0.113.9")),
    "version 6": (["X-Forwarded-For: [2001:dba::9]:4711"], Forwarding("2001:dba::9")),
    "version 6 without brackets": (["X-Forwarded-For: 2001:DBA:0::9"], Forwarding("2001:dba::9")),
    "version 4 in version 6": (["X-Forwarded-For: ::ffff:203.0.113.9"], Forwarding("203.0.113.9")),
    "no address": (["X-Forwarded-For: localhost"], Forwarding()),
    "no address to the left": (["X-Forwarded-For: <script>, 10.1.0.7"], Forwarding("10.1.0.7")),
    "empty": (["X-Forwarded-For: ", "X-Forwarded-Host: ,", "Forwarded: "], Forwarding()),
    "another scheme": (["X-Forwarded-Proto: javascript"], Forwarding()),
    "lists of the others": (
        ["X-Forwarded-Host: evil.example, queue.example", "X-Forwarded-Proto: http, HTTPS"],
        Forwarding(None, "queue.example", "https"),
    ),
    "the standard header": (
        ['Forwarded: for=203.0.113.9;proto=https;host="queue.example:444";by=10.1.0.1'],
        Forwarding("203.0.113.9", "queue.example:444", "https"),
    ),
    "the standard header, version 6": (['Forwarded: For="[2001:dba::9]:4711"'], Forwarding("2001:dba::9")),
    "the standard header through two proxies": (
        [
            "Forwarded: for=192.0.2.1;host=evil.example, for=203.0.113.9;host=queue.example",
            "Forwarded: for=10.1.0.7;host=a",
        ],
        Forwarding("203.0.113.9", "queue.example"),
    ),
    "a hidden client": (["Forwarded: for=_hidden, for=10.1.0.7;proto=https"], Forwarding("10.1.0.7", None, "https")),
    "an unknown client": (["Forwarded: for=unknown;host=queue.example"], Forwarding(None, "queue.example")),
    "a quoted pair": (
        ['Forwarded: host="queue\\.example"; for=203.0.113.9;'],
        Forwarding("203.0.113.9", "queue.example"),
    ),
    "both alike": (
        [
            "Forwarded: for=203.0.113.9;host=Queue.example",
            "X-Forwarded-For: 203.0.113.9",
            "X-Forwarded-Host: queue.example",
        ],
        Forwarding("203.0.113.9", "Queue.example"),
    ),
    "both, of different things": (
        ["Forwarded: for=203.0.113.9", "X-Forwarded-Proto: https"],
        Forwarding("203.0.113.9", None, "https"),
    ),
}


@pytest.mark.parametrize("what", SAID)
def test_an_origin_is_read_from_the_right(what: str) -> None:
    lines, origin = SAID[what]
    assert PROXIES.forwarding_of(headers(*lines)) == origin


@pytest.mark.parametrize(
    "lines",
    [
        ["Forwarded: for=203.0.113.9", "X-Forwarded-For: 203.0.113.8"],
        ["Forwarded: host=evil.example", "X-Forwarded-Host: queue.example"],
        ["Forwarded: proto=http", "X-Forwarded-Proto: https"],
        ["Forwarded: for"],
        ['Forwarded: for="203.0.113.9'],
        ["Forwarded: for=203.0.113.9 x"],
        ["Forwarded: for=203.0.113.9;for=203.0.113.8"],
        ["Forwarded: =203.0.113.9"],
    ],
)
def test_what_is_unclear_is_refused(lines: list[str]) -> None:
    with pytest.raises(InvalidForwarding):
        PROXIES.forwarding_of(headers(*lines))


def test_a_long_list_of_proxies_is_not_followed_to_its_end() -> None:
    listed = ", ".join(["203.0.113.9", *(f"10.1.{number // 256}.{number % 256}" for number in range(5_000))])
    assert PROXIES.forwarding_of(headers(f"X-Forwarded-For: {listed}")) == Forwarding("10.1.19.120")


@pytest.mark.parametrize(
    "text", ["", "localhost", "1", "127.1", "0x7f.0.0.1", "203.0.113.9:", "[::1", "[::1]x", "1.2.3.4.5"]
)
def test_other_texts_are_no_addresses(text: str) -> None:
    assert address_of(text) is None


SENT = headers(
    "host: upstream", "x-forwarded-for: 203.0.113.9", "x-forwarded-host: queue.example", "x-forwarded-proto: https"
)


def after_the_stage(peer: str | None, sent: list[tuple[bytes, bytes]], kind: str = "http") -> dict[str, Any]:
    """Return the scope of a request as the next stage gets it."""
    found: list[Any] = []

    def note(scope: Any, receive: Any, send: Any) -> Any:
        found.append(scope)

    scope = {"type": kind, "client": peer and (peer, 4000), "headers": sent, "scheme": "http"}
    ForwardedRequests(note, proxies=PROXIES)(scope, None, None)  # type: ignore[arg-type]  # the stage awaits nothing
    assert found[0] is scope
    return found[0]


def test_later_stages_see_the_client_of_a_named_proxy() -> None:
    scope = after_the_stage("10.1.0.1", SENT)
    assert (scope["client"], scope["scheme"], scope["headers"][0]) == (
        ("203.0.113.9", 0),
        "https",
        (b"host", b"queue.example"),
    )
    assert [name for name, _ in scope["headers"]].count(b"host") == 1
    assert after_the_stage("10.1.0.1", SENT, "websocket")["scheme"] == "wss"


@pytest.mark.parametrize("peer", ["10.2.0.1", "203.0.113.9", "testclient", None])
def test_of_everybody_else_nothing_is_taken(peer: str | None) -> None:
    assert after_the_stage(peer, SENT) == {
        "type": "http",
        "client": peer and (peer, 4000),
        "headers": SENT,
        "scheme": "http",
    }


def test_two_hosts_stay_two() -> None:
    sent = [*SENT, (b"host", b"other")]
    assert after_the_stage("10.1.0.1", sent)["headers"] == sent


@pytest.mark.parametrize(
    ("value", "names"),
    [("10.0.0.1", ("10.0.0.1",)), (" 10.0.0.0/8,::1  fd00::/8,", ("10.0.0.0/8", "::1", "fd00::/8")), ("", ())],
)
def test_the_setting_takes_addresses_and_networks(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    assert load_settings(None).trusted_proxies == names


@pytest.mark.parametrize("value", ["*", "proxy", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.1:80"])
def test_the_setting_refuses_all_else(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES: expected"):
        load_settings(None)
