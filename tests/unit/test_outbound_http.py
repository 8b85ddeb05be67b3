"""This server calls allowed URLs only, and no other host than the checked one."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import httpcore2
import pytest

from app.errors import InvalidRequest
from app.webhooks.outbound_http import (
    MAX_URL_LENGTH,
    CallFailed,
    certificate_checks,
    check_webhook_url,
    find_destination,
    host_of,
    is_public,
    post,
    remembering,
)
from tests.receiver import answer, certificate_for, receiver

PUBLIC = "93.184.215.14"
OTHER_PUBLIC = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
NAME = "receiver.example"

PUBLIC_ADDRESSES = [PUBLIC, OTHER_PUBLIC, "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "::ffff:8.8.8.8"]
NOT_PUBLIC_ADDRESSES = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1
    172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b::8.8.8.8
    64:ff9b:1::1 100::1 2001::1 2001:0:808:808::1 2001:10::1 2001:db8::1 2002:a9fe:a9fe:: 2002:808:808::1 3fff::1
    fc00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 5f00::1
"""

ODD_HOSTS = """
    2130706433 017700000001 0x7f000001 127.1 127.0.1 0177.0.0.1 0x7f.0.0.1 127.0.0.01 256.1.1.1 1.2.3.4.5 8.8.8.8.
    134744072 0x8.8.8.8 a.1 a.0x1 [::1%eth0] [fe80::1%25eth0] [v1.x] [] [127.0.0.1] [::1]x . a..b .a -a a- a_b!c
    a%2eb a*b ,
"""
LONG_HOSTS = ["a" * 64, ".".join(["a" * 60] * 5)]


class Names:
    """A name server whose answers a test gives, one after the other; the last one is given again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def refused(url: str, *, allow_private: bool = False, names: Names | None = None) -> str:
    """Why."""
    with pytest.raises(InvalidRequest) as raised:
        await check_webhook_url(url, allow_private=allow_private, resolve=names or Names([PUBLIC]))
    assert raised.value.field == "webhook_url"
    return str(raised.value)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_an_address_that_everybody_can_reach_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC_ADDRESSES.split())
async def test_any_other_address_is_not_public_written_or_found(address: str) -> None:
    written = f"[{address}]" if ":" in address else address

    assert not is_public(ip_address(address))
    assert "not public" in await refused(f"https://{written}/")
    assert "not public" in await refused(f"https://{NAME}/", names=Names([address]))
    assert "not public" in await refused(f"https://{NAME}/", names=Names([PUBLIC, OTHER_PUBLIC, address]))


@pytest.mark.parametrize("host", [*ODD_HOSTS.split(), *LONG_HOSTS])
@pytest.mark.parametrize("allow_private", [False, True])
async def test_a_host_that_readers_understand_differently_is_refused_before_it_is_looked_up(
    host: str, allow_private: bool
) -> None:
    names = Names([PUBLIC])

    await refused(f"https://{host}/", allow_private=allow_private, names=names)

    assert names.asked == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "127.0.0.1", "[::1]"])
async def test_this_host_is_refused_by_the_systems_resolver_too(host: str) -> None:
    with pytest.raises(InvalidRequest, match=r"the host (is not public|has no address)"):
        await check_webhook_url(f"https://{host}/", allow_private=False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://{NAME}/", "only https://"),
        (f"ftp://{NAME}/", "only https://"),
        (f"//{NAME}/", "only https://"),
        ("", "only https://"),
        ("https://", "the name of a host"),
        ("https:///path", "the name of a host"),
        (f"https://{NAME}:80/", "only the ports 443 and 8443"),
        (f"https://{NAME}:0/", "only the ports 443 and 8443"),
        (f"https://{NAME}:/", "the name of a host"),
        (f"https://{NAME}:+443/", "not a URL"),
        (f"https://{NAME}:65536/", "not a URL"),
        ("https://[::1/", "not a URL"),
        (f"https://somebody@{NAME}/", "a user name or a password"),
        (f"https://somebody:secret@{NAME}/", "a user name or a password"),
        (f"https://@{NAME}/", "a user name or a password"),
        (f"https://{NAME}\\@{PUBLIC}/", "only visible ASCII"),
        (f"https://{NAME}/a b", "only visible ASCII"),
        (f"https://{NAME}/\r\nX: y", "only visible ASCII"),
        (f" https://{NAME}/", "only visible ASCII"),
        ("https://ｒeceiver.example/", "only visible ASCII"),
        ("https://receiver。example/", "only visible ASCII"),
        (f"https://{NAME}/".ljust(MAX_URL_LENGTH + 1, "x"), f"at most {MAX_URL_LENGTH}"),
    ],
)
async def test_what_is_not_a_plain_https_url_is_refused_with_the_reason(url: str, why: str) -> None:
    assert why in await refused(url)


@pytest.mark.parametrize(
    ("url", "addresses", "why"),
    [
        (f"http://{NAME}/", [PUBLIC], "only https:// is allowed"),
        (f"https://{NAME}:8080/", [PUBLIC], "only the ports 443 and 8443 are allowed"),
        (f"https://{NAME}/", ["10.0.0.1"], "the host is not public"),
        (f"https://{NAME}/", ["169.254.169.254"], "the host is not public"),
    ],
)
async def test_a_refusal_names_the_setting_that_may_allow_the_url(url: str, addresses: list[str], why: str) -> None:
    """It does not tell which kind of address a name has."""
    told = await refused(url, names=Names(addresses))
    assert told == f"webhook_url: {why}. WEBHOOK_ALLOW_PRIVATE=true allows receivers in your own network."


async def test_a_refusal_does_not_name_the_setting_that_is_set() -> None:
    told = await refused(f"https://{NAME}/", allow_private=True, names=Names(["169.254.169.254"]))
    assert told == "webhook_url: the host is not public."
    assert "ALLOW_PRIVATE" not in await refused(f"ftp://{NAME}/")


@pytest.mark.parametrize(
    "url",
    [
        f"https://{NAME}",
        f"https://{NAME}./",
        f"HTTPS://{NAME.upper()}:443/a?b=%20#c",
        f"https://{NAME}:8443/@me?at=a@b",
        f"https://{NAME}/".ljust(MAX_URL_LENGTH, "x"),
        "https://xn--bcher-kva.example/",
        "https://a_b.example/",
        f"https://{PUBLIC}/",
        f"https://[{OTHER_PUBLIC}]/",
    ],
)
async def test_a_plain_https_url_of_a_public_host_is_allowed(url: str) -> None:
    await check_webhook_url(url, allow_private=False, resolve=Names([PUBLIC, OTHER_PUBLIC]))


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "[::1]", "[fd00::1]", NAME])
async def test_private_addresses_plain_http_and_any_port_are_allowed_where_the_settings_say_so(host: str) -> None:
    for url in (f"http://{host}/", f"http://{host}:5000/", f"https://{host}:1/"):
        await check_webhook_url(url, allow_private=True, resolve=Names(["192.168.0.1"]))
        await refused(url, names=Names(["192.168.0.1"]))


PRIVATE_WITHIN = """
    64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::10.0.0.1 64:ff9b:1:a00:0:100:: ::10.0.0.1
    ::127.0.0.1 ::ffff:0:192.168.1.1 2002:a00:1:: 2002:7f00:1::1 2002:a9fe:a9fe:: 2001:0:a00:1::
    2001:0:808:808:0:0:f5ff:fffe fd00::5efe:10.0.0.1 fd00::200:5efe:192.168.1.1 2606:2800::5efe:10.0.0.1
"""


@pytest.mark.parametrize("address", PRIVATE_WITHIN.split())
async def test_a_private_address_within_one_of_ipv6_is_never_called(address: str) -> None:
    """Private hosts are allowed by their own addresses, not by ways around the rules that a network has for them."""
    for allowed in (True, False):
        assert "not public" in await refused(f"https://{NAME}/", allow_private=allowed, names=Names([address]))
        assert "not public" in await refused(f"https://[{address}]/", allow_private=allowed)


@pytest.mark.parametrize("address", ["64:ff9b::8.8.8.8", "2002:808:808::1", "::ffff:10.0.0.1", "fd12:3456::1", "::1"])
async def test_other_ipv6_addresses_are_called_where_private_ones_are(address: str) -> None:
    await check_webhook_url(f"http://{NAME}/", allow_private=True, resolve=Names([address]))


METADATA = """
    169.254.169.254 ::ffff:169.254.169.254 169.254.42.42 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254
    fd20:ce::254 fd00:42::42 64:ff9b::168.63.129.16
"""


@pytest.mark.parametrize(
    "address", [*METADATA.split(), "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "::"]
)
async def test_a_clouds_metadata_are_never_called(address: str) -> None:
    assert "not public" in await refused(f"http://{NAME}/", allow_private=True, names=Names([address]))
    assert "not public" in await refused(f"https://{NAME}/", names=Names([address]))


async def test_a_host_that_cannot_be_found_is_refused() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolve in (nowhere, Names([])):
        with pytest.raises(InvalidRequest, match="the host has no address"):
            await check_webhook_url(f"https://{NAME}/", allow_private=False, resolve=resolve)


async def test_what_the_resolver_says_that_is_no_address_is_refused() -> None:
    assert "not public" in await refused(f"https://{NAME}/", names=Names([PUBLIC, "fe80::1%eth0"]))
    assert "not public" in await refused(f"https://{NAME}/", names=Names([PUBLIC, "somewhere"]))


async def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.webhooks.outbound_http.RESOLVE_SECONDS", 0.01)

    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError("never")

    with pytest.raises(InvalidRequest, match="the host has no address"):
        await check_webhook_url(f"https://{NAME}/", allow_private=False, resolve=silent)


async def test_the_checks_of_one_request_ask_for_a_host_once() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    resolve = remembering(names)

    for path in ("a", "b"):
        await check_webhook_url(f"https://{NAME}/{path}", allow_private=False, resolve=resolve)
    await check_webhook_url(f"https://{NAME}:8443/", allow_private=True, resolve=resolve)

    assert names.asked == [(NAME, 443), (NAME, 8443)]


def test_of_a_url_only_the_host_is_told() -> None:
    assert host_of("https://somebody:secret@receiver.example:8443/token?key=secret") == "receiver.example"
    assert host_of("https://[::1") == "an unknown host"
    assert host_of("") == "an unknown host"


class Wires:
    """Notes where connections are made to, and leads all of them to one port of this host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, port: int, *, dead: Sequence[str] = ()) -> None:
        self.connected: list[tuple[str, int]] = []
        connect = httpcore2.AnyIOBackend.connect_tcp

        async def led_here(
            backend: httpcore2.AnyIOBackend, host: str, to: int, *rest: None
        ) -> httpcore2.AsyncNetworkStream:
            self.connected.append((host, to))
            if host in dead:
                raise httpcore2.ConnectError("dead")
            return await connect(backend, "127.0.0.1", port)

        monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", led_here)


async def test_the_connection_goes_to_the_address_that_was_checked_and_keeps_the_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = certificate_for(NAME, tmp_path)
    names = Names([PUBLIC], ["127.0.0.1"])
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with receiver(tls=certificate.server) as there:
        wires = Wires(monkeypatch, there.port)
        destination = await find_destination(f"https://{NAME}/hook?a=%2F#b", allow_private=False, resolve=names)
        status = await post(destination, b"{}", {"X-Name": "value"}, certificate.client)

    assert status == 204
    assert wires.connected == [(PUBLIC, 443)]
    assert names.asked == [(NAME, 443)]
    [got] = there.requests
    assert (got.method, got.target, got.body) == ("POST", "/hook?a=%2F", b"{}")
    assert (got.headers["host"], got.headers["x-name"]) == (NAME, "value")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        (f"http://{NAME.upper()}.:80/", NAME),
        (f"http://{NAME}:443/", f"{NAME}:443"),
        ("http://[FD00::1]/", "[fd00::1]"),
        ("http://[::1]:5000/", "[::1]:5000"),
    ],
)
async def test_the_receiver_is_told_its_name_in_the_usual_form(
    url: str, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as there:
        Wires(monkeypatch, there.port)
        destination = await find_destination(url, allow_private=True, resolve=Names([PUBLIC]))
        await post(destination, b"{}", {}, certificate_checks())

    assert there.requests[0].headers["host"] == authority


async def test_a_certificate_of_another_name_is_not_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = certificate_for("other.example", tmp_path)
    async with receiver(tls=certificate.server) as there:
        Wires(monkeypatch, there.port)
        destination = await find_destination(f"https://{NAME}/", allow_private=False, resolve=Names([PUBLIC]))
        with pytest.raises(CallFailed, match="The certificate is not valid: Hostname mismatch"):
            await post(destination, b"{}", {}, certificate.client)

    assert there.requests == []


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = certificate_for(NAME, tmp_path)
    async with receiver(tls=certificate.server) as there:
        Wires(monkeypatch, there.port)
        destination = await find_destination(f"https://{NAME}/", allow_private=False, resolve=Names([PUBLIC]))
        with pytest.raises(CallFailed, match="The certificate is not valid: self-signed certificate"):
            await post(destination, b"{}", {}, certificate_checks())

    assert there.requests == []


async def test_the_systems_certificates_can_be_added_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = certificate_for(NAME, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    async with receiver(tls=certificate.server) as there:
        Wires(monkeypatch, there.port)
        destination = await find_destination(f"https://{NAME}/", allow_private=False, resolve=Names([PUBLIC]))
        assert await post(destination, b"{}", {}, certificate_checks()) == 204


async def test_an_address_that_cannot_be_reached_is_followed_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = certificate_for(NAME, tmp_path)
    async with receiver(tls=certificate.server) as there:
        wires = Wires(monkeypatch, there.port, dead=[OTHER_PUBLIC])
        names = Names([OTHER_PUBLIC, PUBLIC])
        destination = await find_destination(f"https://{NAME}:8443/", allow_private=False, resolve=names)
        assert await post(destination, b"{}", {}, certificate.client) == 204

    assert wires.connected == [(OTHER_PUBLIC, 8443), (PUBLIC, 8443)]
    assert there.requests[0].headers["host"] == f"{NAME}:8443"


async def test_a_host_that_cannot_be_reached_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Wires(monkeypatch, 0, dead=[PUBLIC])
    destination = await find_destination(f"https://{NAME}/", allow_private=False, resolve=Names([PUBLIC]))
    with pytest.raises(CallFailed, match=r"^The connection failed\.$"):
        await post(destination, b"{}", {}, certificate_checks())


async def test_a_receiver_without_tls_behind_https_is_a_failure() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 not TLS\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        destination = await find_destination(f"https://127.0.0.1:{port}/", allow_private=True)
        with pytest.raises(CallFailed, match="The connection failed"):
            await post(destination, b"{}", {}, certificate_checks())


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    async with receiver(answers=[answer(302, "Location: /elsewhere")]) as there:
        destination = await find_destination(there.url(), allow_private=True)
        assert await post(destination, b"{}", {}, certificate_checks()) == 302

    assert [got.target for got in there.requests] == ["/hook"]


@pytest.mark.parametrize("reply", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_an_answer_that_is_not_http_or_breaks_off_is_a_failure(reply: bytes) -> None:
    async with receiver(answers=[reply]) as there:
        destination = await find_destination(there.url(), allow_private=True)
        with pytest.raises(CallFailed, match="The connection was lost, or the answer was not HTTP"):
            await post(destination, b"{}", {}, certificate_checks())


async def test_no_more_is_read_of_an_answer_than_64_kilobytes() -> None:
    """An endless answer has to end: it breaks off behind what is read."""
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    async with receiver(answers=[endless + b"8000\r\n" + b"x" * 0x8000 + b"\r\nFFFFFF\r\n"]) as there:
        destination = await find_destination(there.url(), allow_private=True)
        assert await post(destination, b"{}", {}, certificate_checks()) == 200
