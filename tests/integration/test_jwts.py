"""Tokens of the operator's own identity provider, which serves its keys from a real HTTP server."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError
from websockets.asyncio.client import connect

from app.config import Settings
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_keys import HELLO, JSON, bearer, closed_code, issue
from tests.pages import DOCS, named
from tests.servers import LiveServer

ISSUER, AUDIENCE = "https://login.example/", "agent-queue"
ALGORITHMS = ("RS256", "ES256", "EdDSA")


@cache
def keys() -> dict[str, Any]:
    """Return the provider's keys, made by the first test that needs them: imports happen in all processes."""
    made = (rsa_key(), ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate())
    return dict(zip(ALGORITHMS, made, strict=True))


@cache
def other_key() -> rsa.RSAPrivateKey:
    """Return a key that the provider does not have at first."""
    return rsa_key()


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: Any, key_id: str | None, algorithm: str, **more: Any) -> dict[str, Any]:
    """The public key as a JWKS lists it."""
    shown = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    shown = {name: value for name, value in shown.items() if name not in ("key_ops", "alg")}
    return {**shown, **({} if key_id is None else {"kid": key_id}), **more}


class Provider:
    """An identity provider: its JWKS, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [jwk(key, algorithm, algorithm) for algorithm, key in keys().items()]
        self.body: bytes | None = None
        self.status = "200 OK"
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /jwks HTTP/1.1\r\n")
        self.asked += 1
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        writer.write(
            f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
        writer.close()

    def token(self, algorithm: str = "RS256", *, key: Any = None, key_id: str | None = None, **claims: Any) -> str:
        now = time.time()
        given = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ann",
            "scope": "openid submit read",
            "iat": now,
            "exp": now + 600,
        }
        wanted = {name: value for name, value in {**given, **claims}.items() if value is not None}
        headers = {"kid": key_id or algorithm}
        return jwt.encode(wanted, key or keys()[algorithm], algorithm, headers=headers)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    yield provider
    server.close()
    await server.wait_closed()


@pytest.fixture
async def server(serve: Serve, provider: Provider) -> LiveServer:
    return await serve(
        worker_concurrency=0,
        jwt_jwks_url=provider.url,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_tenant_claim="org.id",
    )


async def told(server: LiveServer, token: str, path: str = "/messages") -> tuple[int, str]:
    response = await wire.request(server.url, "GET", path, headers=bearer(token))
    return response.status, response.json().get("code", "")


ORG: dict[str, Any] = {"org": {"id": "acme"}}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_gives_its_tenant_subject_and_scopes(
    server: LiveServer, provider: Provider, algorithm: str
) -> None:
    ann = provider.token(algorithm, **ORG)
    response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(ann)}, body=HELLO)
    assert response.status == 202, response.body
    message = await server.runtime.services.store.get("acme", response.json()["message_id"])
    assert message.subject == "ann"
    path = f"/messages/{message.id}"
    rows: list[tuple[dict[str, Any], int]] = [
        (ORG, 200),
        ({**ORG, "sub": "bob"}, 404),
        ({"org": {"id": "other"}}, 404),
        ({"org.id": "acme", "org": {"id": "other"}}, 200),
        ({**ORG, "scope": ["read"]}, 200),
        ({**ORG, "scope": "submit"}, 403),
        ({**ORG, "scope": None}, 403),
        ({**ORG, "scope": "admin metrics"}, 403),
    ]
    for claims, status in rows:
        assert (await told(server, provider.token(algorithm, **claims), path))[0] == status, claims
    admin = provider.token(algorithm, **ORG, scope="admin submit read")
    for method, where in (("POST", "/queue/pause"), ("POST", "/tokens"), ("GET", "/keys")):
        answer = await wire.request(server.url, method, where, headers={**JSON, **bearer(admin)}, body=b"{}")
        assert answer.status == 403
    assert provider.asked == 1


def wrong(provider: Provider) -> Iterator[tuple[str, str]]:
    good = provider.token(**ORG)
    header, body, signature = good.split(".")
    yield "another key", provider.token(key=other_key(), **ORG)
    yield "unknown kid", provider.token(key_id="unknown", **ORG)
    yield "kid of another key", provider.token(key_id="ES256", **ORG)
    yield "wrong audience", provider.token(aud="another", **ORG)
    yield "no audience", provider.token(aud=None, **ORG)
    yield "wrong issuer", provider.token(iss="https://evil.example/", **ORG)
    yield "no issuer", provider.token(iss=None, **ORG)
    yield "no end", provider.token(exp=None, **ORG)
    for odd in ("9999999999", 10**15, 253402300799, 10**18, 10**400):
        yield f"ends at {str(odd)[:20]}", provider.token(exp=odd, **ORG)
    yield "tampered", f"{header}.{body[:-4]}AAAA.{signature}"
    yield "no signature", f"{header}.{body}."
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"RS256"}').decode().rstrip("=")
    yield "alg none", f"{none}.{body}."
    yield "not allowed", provider.token("RS256", **ORG).replace(header, base64_of({"alg": "RS512", "kid": "RS256"}))
    public = keys()["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield "the public key as a secret", hs256({"alg": "HS256", "kid": "RS256"}, body, public)
    yield "a kid that is no text", hs256({"alg": "RS256", "kid": {"a": 1}}, body, public)
    yield "embedded key", hs256({"alg": "RS256", "jwk": jwk(other_key(), "x", "RS256")}, body, public)
    yield "long", "eyJ" + "A" * 20_000 + ".A.A"


def base64_of(header: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")


def hs256(header: dict[str, Any], body: str, secret: bytes) -> str:
    """A token that is signed with a secret, which PyJWT refuses to make with a public key."""
    import hashlib
    import hmac

    signed = f"{base64_of(header)}.{body}"
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_a_wrong_token_is_refused_without_a_reason(server: LiveServer, provider: Provider) -> None:
    assert (await told(server, provider.token(**ORG)))[0] == 200
    texts = set()
    for name, token in wrong(provider):
        response = await wire.request(server.url, "GET", "/messages", headers=bearer(token))
        assert (response.status, response.json()["code"]) == (401, "invalid_token"), name
        texts.add(response.json()["detail"])
    assert len(texts) == 1
    assert provider.asked == 1, "an unknown kid asks at most once a minute"
    now = time.time()
    assert await told(server, provider.token(exp=now - 60, **ORG)) == (401, "expired_token")
    assert (await told(server, provider.token(exp=now - 5, **ORG)))[0] == 200, "clocks may differ by half a minute"
    assert await told(server, provider.token(nbf=now + 60, **ORG)) == (401, "token_not_yet_valid")
    assert await told(server, provider.token(exp=now - 60, key=other_key(), **ORG)) == (401, "invalid_token")
    odd: list[dict[str, Any]] = [{}, *({"org": each} for each in ("acme", {"id": ""}, {"id": 7}, {"id": "x" * 256}))]
    for claims in odd:
        assert await told(server, provider.token(**claims)) == (401, "invalid_token")
    for subject in (None, "", 7, "a\nb", "x" * 256):
        assert await told(server, provider.token(**ORG, sub=subject)) == (401, "invalid_token")


async def test_rotated_keys_are_taken_and_withdrawn_ones_refused(
    server: LiveServer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = provider.token(**ORG)
    assert (await told(server, old))[0] == 200
    provider.keys = [jwk(other_key(), "new", "RS256")]
    new = provider.token(key=other_key(), key_id="new", **ORG)
    assert await told(server, new) == (401, "invalid_token"), "the keys were fetched a moment ago"
    monkeypatch.setattr("app.access.jwts.REFETCH_SECONDS", 0.0)
    async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(old)) as socket:
        assert (await told(server, new))[0] == 200
        assert await told(server, old) == (401, "invalid_token")
        async with asyncio.timeout(5):
            assert await closed_code(socket) == 4401


async def test_keys_are_fetched_again_when_they_are_old(
    server: LiveServer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await told(server, provider.token(**ORG)))[0] == 200
    provider.keys = [jwk(other_key(), "RS256", "RS256")]
    assert (await told(server, provider.token(**ORG, sub="bob")))[0] == 200
    monkeypatch.setattr("app.access.jwts.STALE_SECONDS", -1.0)
    monkeypatch.setattr("app.access.jwts.REFETCH_SECONDS", 0.0)
    assert await told(server, provider.token(**ORG, sub="carl")) == (401, "invalid_token")


@pytest.mark.parametrize("fault", ["503", "no JWKS", "not JSON", "long", "nobody"])
async def test_a_provider_that_does_not_answer_is_waited_for(
    serve: Serve, provider: Provider, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = provider.url if fault != "nobody" else "http://127.0.0.1:9/jwks"
    server = await serve(worker_concurrency=0, jwt_jwks_url=url, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    provider.status = "503 Busy" if fault == "503" else "200 OK"
    provider.body = {"no JWKS": b"[1]", "not JSON": b"<html>", "long": b" " * 100_000}.get(fault)
    for _ in range(3):
        assert await told(server, provider.token()) == (503, "identity_provider_unavailable")
    assert provider.asked == (0 if fault == "nobody" else 1), "it is not asked for each request"
    if fault != "nobody":
        provider.status, provider.body = "200 OK", None
        monkeypatch.setattr("app.access.jwts.RETRY_SECONDS", 0.0)
        keys = next(each for each in server.runtime.services.access._keys._others if hasattr(each, "_keys"))
        keys._keys._tried_at = float("-inf")
        assert (await told(server, provider.token()))[0] == 200
        provider.status = "503 Busy"
        monkeypatch.setattr("app.access.jwts.STALE_SECONDS", -1.0)
        keys._keys._tried_at = float("-inf")
        assert (await told(server, provider.token(sub="bob")))[0] == 200, "the keys from before are good"


async def test_keys_that_do_not_verify_signatures_are_ignored(server: LiveServer, provider: Provider) -> None:
    secret = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")
    private = jwt.get_algorithm_by_name("RS256").to_jwk(other_key(), as_dict=True)
    provider.keys = [
        jwk(keys()["RS256"], "enc", "RS256", use="enc"),
        jwk(keys()["RS256"], "other", "RS256", alg="PS256"),
        {"kty": "oct", "kid": "secret", "k": secret},
        {**private, "kid": "private"},
        {"kty": "unknown", "kid": "unknown"},
        jwk(keys()["RS256"], "RS256", "RS256", use="sig", alg="RS256"),
    ]
    assert (await told(server, provider.token(**ORG)))[0] == 200
    for key_id in ("enc", "other", "secret", "private", "unknown"):
        key = other_key() if key_id == "private" else keys()["RS256"]
        assert await told(server, provider.token(key=key, key_id=key_id, **ORG)) == (401, "invalid_token"), key_id


async def test_one_public_key_from_the_settings(serve: Serve, provider: Provider) -> None:
    public = keys()["ES256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    server = await serve(
        worker_concurrency=0, jwt_public_key=public.replace("\n", "\\n"), jwt_issuer=ISSUER, jwt_audience=AUDIENCE,
        jwt_algorithms="ES256", jwt_subject_claim="email", jwt_scopes_claim="realm.roles",
    )  # fmt: skip
    good: dict[str, Any] = {"email": "ann@example.com", "realm": {"roles": ["read", "offline"]}}
    assert (await told(server, provider.token("ES256", **good)))[0] == 200
    assert await told(server, provider.token("RS256", **good)) == (401, "invalid_token")
    assert (await told(server, provider.token("ES256", email="ann@example.com")))[0] == 403
    assert provider.asked == 0


async def test_with_a_provider_nobody_is_anonymous(server: LiveServer, provider: Provider) -> None:
    response = await wire.request(server.url, "GET", "/messages")
    assert (response.status, response.json()["code"]) == (401, "authentication_required")
    key = await issue(server)
    for credential in (key.text, provider.token(**ORG)):
        assert (await told(server, credential))[0] == 200


async def test_a_token_signs_a_browser_in_as_its_subject(server: LiveServer, provider: Provider) -> None:
    body = json.dumps({"credential": provider.token(**ORG)}).encode()
    response = await wire.request(server.url, "POST", "/session", headers=JSON, body=body)
    assert response.status == 201, response.body
    told = response.json()
    assert (told["tenant"], told["subject"], told["scopes"]) == ("acme", "ann", ["submit", "read"])
    session = {"Cookie": response.headers["set-cookie"].partition(";")[0], "X-CSRF-Token": told["csrf_token"]}
    headers = {**JSON, **session, "Origin": server.url}
    posted = await wire.request(server.url, "POST", "/messages", headers=headers, body=HELLO)
    path = f"/messages/{posted.json()['message_id']}"
    for claims, status in ((ORG, 200), ({**ORG, "sub": "bob"}, 404)):
        found = await wire.request(server.url, "GET", path, headers=bearer(provider.token(**claims)))
        assert found.status == status


async def test_a_ticket_of_a_token_opens_a_stream_as_its_subject(server: LiveServer, provider: Provider) -> None:
    await issue(server)  # a ticket of a provider's token does not end with anonymous access
    ann = provider.token(**ORG)
    posted = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(ann)}, body=HELLO)
    path = f"/messages/{posted.json()['message_id']}/stream"
    for claims, status in ((ORG, 200), ({**ORG, "sub": "bob"}, 404)):
        headers = {**JSON, **bearer(provider.token(**claims))}
        ticket = (await wire.request(server.url, "POST", "/tickets", headers=headers, body=b"{}")).json()["ticket"]
        assert (await wire.request(server.url, "HEAD", f"{path}?ticket={ticket}")).status == status


async def test_a_stream_ends_with_the_providers_token(
    server: LiveServer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.access.jwts.LEEWAY_SECONDS", 0)
    token = provider.token(**ORG, exp=time.time() + 2)
    async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(token)) as socket:
        async with asyncio.timeout(10):
            assert await closed_code(socket) == 4401


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"jwt_jwks_url": "ftp://x"}, "jwt_jwks_url"),
        ({"jwt_jwks_url": "https://x/jwks"}, "jwt_issuer"),
        ({"jwt_jwks_url": "https://x/jwks", "jwt_issuer": "x"}, "jwt_audience"),
        ({"jwt_public_key": "x", "jwt_issuer": "x", "jwt_audience": "x"}, "jwt_public_key"),
        ({"jwt_jwks_url": "https://x/jwks", "jwt_public_key": "-----BEGIN PUBLIC KEY-----"}, "jwt_public_key"),
        *(({"jwt_algorithms": each}, "jwt_algorithms") for each in ("HS256", "none", "", "RS256,HS512", "rs256")),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, **values)
    assert names in {error["loc"][0] for error in refused.value.errors()}


async def test_the_settings_of_the_page_work(serve: Serve, provider: Provider) -> None:
    lines = named(DOCS / "how-to" / "tokens.md", "sample: provider").split()
    names: dict[str, Any] = {name.lower(): value for name, _, value in (line.partition("=") for line in lines)}
    server = await serve(worker_concurrency=0, **{**names, "jwt_jwks_url": provider.url})
    assert (await told(server, provider.token(iss=names["jwt_issuer"], aud=names["jwt_audience"], **ORG)))[0] == 200
