"""Tokens for browsers and end users, and tickets, at a running server."""

import asyncio
import base64
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.access.management import IssuedKey
from app.access.scopes import AccessScope
from app.access.signing import SETTLED
from app.text import rfc3339
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.states import SECRET
from tests.integration.test_keys import HELLO, JSON, bearer, closed_code, database, issue, manager
from tests.pages import DOCS, named
from tests.servers import LiveServer, server_process, until

__all__ = ["database"]


async def ask(
    server: LiveServer, method: str, path: str, credential: IssuedKey | str, body: Any = None
) -> wire.RawResponse:
    headers = {**bearer(credential), **(JSON if body is not None else {})}
    text = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, path, headers=headers, body=text)


async def mint(server: LiveServer, key: IssuedKey | str, **fields: Any) -> str:
    response = await ask(server, "POST", "/tokens", key, fields)
    assert response.status == 201, response.body
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["token"])


async def told(server: LiveServer, token: str, path: str = "/messages") -> tuple[int, str]:
    response = await ask(server, "GET", path, token)
    return response.status, response.json().get("code", "")


async def test_a_token_sees_what_it_is_narrowed_to(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    ann = await mint(server, key, subject="ann")
    bob = await mint(server, key, subject="bob", scopes=["read"], rate_per_minute=9)
    room = await mint(server, key, thread_prefix="room/", thread_ids=["t"])
    other = await mint(server, key, agents=["other"])
    response = await ask(server, "POST", "/messages", ann, {"message": "Hello", "thread_id": "t"})
    assert response.status == 202, response.body
    path = f"/messages/{response.json()['message_id']}"
    for token, status in ((ann, 200), (bob, 404), (room, 200), (other, 404), (key, 200)):
        assert (await ask(server, "GET", path, token)).status == status
    assert (await ask(server, "POST", "/messages", bob, {"message": "Hello"})).status == 403
    for thread, status in (("room/1", 202), ("elsewhere", 404), ("t", 202)):
        response = await ask(server, "POST", "/messages", room, {"message": "Hello", "thread_id": thread})
        assert response.status == status, response.body
    assert (await ask(server, "POST", "/messages", room, {"message": "Hello"})).json()["code"] == "invalid_request"
    assert (await ask(server, "POST", "/messages", other, {"message": "Hello"})).json()["code"] == "unknown_agent"


async def test_a_token_has_no_right_that_its_maker_lacks(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    now = server.runtime.services.store.now()
    key = await issue(server, AccessScope.SUBMIT, expires_at=now + timedelta(seconds=60))
    reader = await issue(server, AccessScope.READ)
    response = await ask(server, "POST", "/tokens", key, {"expires_in": 3600})
    assert response.json()["expires_at"] == rfc3339(now + timedelta(seconds=60))
    assert response.json()["scopes"] == ["submit"]
    assert (await ask(server, "POST", "/tokens", reader, {})).json()["code"] == "insufficient_scope"
    assert (await ask(server, "POST", "/tokens", key, {"scopes": ["read"]})).json()["code"] == "rights_exceeded"
    wrong: list[dict[str, Any]] = [
        {"scopes": ["admin"]},
        {"scopes": ["metrics"]},
        {"scopes": []},
        {"expires_in": 0},
        {"expires_in": 86_401},
        {"expires_in": 1.5},
        {"subject": ""},
        {"subject": "a\nb"},
        {"thread_prefix": ""},
        {"agents": []},
        {"thread_ids": []},
        {"rate_per_minute": 0},
        {"tenant": "other"},
    ]
    for fields in wrong:
        response = await ask(server, "POST", "/tokens", key, fields)
        assert response.status == 422, fields
        assert "AccessScope" not in response.body.decode()
    token = await mint(server, key, subject="ann")
    for path, fields in (("/tokens", {}), ("/tokens/revoke", {"subject": "ann"}), ("/tokens/revoke", {"all": True})):
        response = await ask(server, "POST", path, token, fields)
        assert (response.status, response.json()["code"]) == (403, "rights_exceeded")
    both: list[dict[str, Any]] = [{}, {"subject": "ann", "all": True}, {"all": False}]
    for body in both:
        assert (await ask(server, "POST", "/tokens/revoke", key, body)).status == 422


async def test_an_end_user_names_no_webhook(serve: Serve) -> None:
    """The secret of the API key would sign it."""
    server = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    key = await issue(server)
    token = await mint(server, key, subject="ann")
    hooked = {"message": "Hello", "webhook_url": "http://127.0.0.1:1/"}
    for path, body in (("/messages", hooked), ("/messages/batch", {"messages": [hooked]})):
        refused = await ask(server, "POST", path, token, body)
        assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")
        assert "webhook_url" in refused.json()["detail"]
        assert (await ask(server, "POST", path, key, body)).status == 202
    async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(token)) as socket:
        await socket.send(json.dumps({"type": "submit", "request_id": "1", **hooked}))
        assert json.loads(await socket.recv())["problem"]["status"] == 403


async def test_an_ended_token_is_refused_at_once_by_the_process_that_ended_it(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    await server.runtime._access_watch.stop()  # which would notice it a moment later
    token = await mint(server, key, subject="ann")
    assert (await told(server, token))[0] == 200
    assert (await ask(server, "POST", "/tokens/revoke", key, {"subject": "ann"})).status == 200
    assert await told(server, token) == (401, "revoked_token")


def parts(token: str) -> list[Any]:
    return [json.loads(base64.urlsafe_b64decode(each + "==")) for each in token.removeprefix("aqt_").split(".")[:2]]


def put_together(header: dict[str, Any], claims: dict[str, Any], secret: str, algorithm: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HS512 wants a longer secret than ours
        return "aqt_" + jwt.encode(claims, secret, algorithm, headers=header)


def changed(token: str, secret: str) -> Iterator[tuple[str, str]]:
    """Tokens that are not as this server makes them, by what is wrong."""
    header, claims = parts(token)
    signed, body, signature = token.removeprefix("aqt_").split(".")
    more = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "bob"}).encode()).decode().rstrip("=")
    yield "tampered claims", f"aqt_{signed}.{more}.{signature}"
    yield "wrong signature", token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    yield "no signature", f"aqt_{signed}.{body}."
    yield "no prefix", token.removeprefix("aqt_")
    yield "no token", "aqt_x"
    yield "nothing", "aqt_"
    yield "long", token + "A" * 100_000
    yield "hostile", "aqt_' OR 1=1 --"
    none = base64.urlsafe_b64encode(json.dumps({**header, "alg": "none"}).encode()).decode().rstrip("=")
    yield "alg none", f"aqt_{none}.{body}."
    yield "alg none with a signature", f"aqt_{none}.{body}.{signature}"
    yield "wrong algorithm", put_together({"kid": header["kid"]}, claims, secret, "HS512")
    yield "wrong secret", put_together({"kid": header["kid"]}, claims, "x" * 43, "HS256")
    yield "unknown kid", put_together({"kid": "unknown"}, claims, secret, "HS256")
    yield "secret of an unknown kid", put_together({"kid": "unknown"}, claims, "0" * 43, "HS256")
    yield "no kid", put_together({}, claims, secret, "HS256")
    yield "kid of another kind", put_together({"kid": "x" * 9}, claims, secret, "HS256")
    yield "wrong audience", put_together({"kid": header["kid"]}, {**claims, "aud": "agentq:ticket"}, secret, "HS256")
    without = {name: value for name, value in claims.items() if name != "aud"}
    yield "no audience", put_together({"kid": header["kid"]}, without, secret, "HS256")
    without = {name: value for name, value in claims.items() if name != "exp"}
    yield "no end", put_together({"kid": header["kid"]}, without, secret, "HS256")


async def test_a_token_that_is_not_ours_is_refused_without_a_reason(serve: Serve) -> None:
    """With one text for all, so that nobody learns how far they came."""
    server = await serve(worker_concurrency=0)
    token = await mint(server, await issue(server), subject="ann")
    (secret,) = await server.runtime.services.store.list_signing_secrets()
    texts = set()
    for wrong, text in changed(token, secret.secret):
        response = await ask(server, "GET", "/messages", text)
        problem = response.json()
        assert response.status in (401, 400 if wrong == "long" else 401, 431 if wrong == "long" else 401), wrong
        if wrong in ("no prefix", "long"):
            continue
        assert (problem["code"], response.headers["www-authenticate"]) == ("invalid_token", "Bearer"), wrong
        texts.add(problem["detail"])
    assert len(texts) == 1
    assert "POST /tokens" in texts.pop()
    assert (await told(server, token))[0] == 200


async def test_a_token_begins_and_ends_in_its_time(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    store = server.runtime.services.store
    key = await issue(server)
    token = await mint(server, key, expires_in=1)
    assert (await told(server, token))[0] == 200
    (secret,) = await store.list_signing_secrets()
    header, claims = parts(token)
    later = put_together({"kid": header["kid"]}, {**claims, "nbf": claims["exp"] + 60}, secret.secret, "HS256")
    assert await told(server, later) == (401, "token_not_yet_valid")
    earlier = put_together({"kid": header["kid"]}, {**claims, "exp": claims["exp"] - 10}, secret.secret, "HS256")
    assert await told(server, earlier) == (401, "expired_token")
    await until(lambda: store.now().timestamp() > claims["exp"], "the token has expired")
    assert await told(server, token) == (401, "expired_token")


async def test_a_verified_token_needs_no_query_until_something_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0)
    store = server.runtime.services.store
    token = await mint(server, await issue(server), subject="ann")
    newest = (await store.access_state()).revision
    await until(lambda: server.runtime._access_watch._revision == newest, "all changes are known")
    queries = []
    ended = store.tokens_ended

    async def counted(*arguments: Any) -> Any:
        queries.append(arguments)
        return await ended(*arguments)

    monkeypatch.setattr(store, "tokens_ended", counted)
    for _ in range(10):
        assert (await told(server, token))[0] == 200
    assert len(queries) == 1


End = Callable[[LiveServer, IssuedKey], Any]


async def end_subject(server: LiveServer, key: IssuedKey) -> None:
    assert (await ask(server, "POST", "/tokens/revoke", key, {"subject": "ann"})).status == 200


async def end_tenant(server: LiveServer, key: IssuedKey) -> None:
    assert (await ask(server, "POST", "/tokens/revoke", key, {"all": True})).status == 200


async def revoke_key(server: LiveServer, key: IssuedKey) -> None:
    await manager(server).revoke(None, key.key.id)


async def rotate_key(server: LiveServer, key: IssuedKey) -> None:
    """Nothing of the earlier secret stays good."""
    await manager(server).rotate(None, key.key.id, timedelta(0))


@pytest.mark.parametrize("end", [end_subject, end_tenant, revoke_key, rotate_key], ids=lambda end: end.__name__)
async def test_ending_tokens_ends_their_streams_and_sockets_everywhere(serve: Serve, database: str, end: End) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    other = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    key, kept = await issue(server), await issue(server)
    await until(lambda: other.runtime.services.access._keys.has_keys, "the other process knows the keys")
    token = await mint(server, key, subject="ann")
    bob = await mint(server, kept if end in (revoke_key, rotate_key) else key, subject="bob")
    message = (await ask(other, "POST", "/messages", token, {"message": "Hello"})).json()["message_id"]
    url = other.url.replace("http", "ws") + "/ws"
    ticket = (await ask(other, "POST", "/tickets", token, {})).json()["ticket"]
    async with (
        wire.stream(other.url, message, key=token) as stream,
        connect(url, additional_headers=bearer(token)) as socket,
        connect(f"{url}?ticket={ticket}") as by_ticket,
        connect(url, additional_headers=bearer(bob)) as theirs,
    ):
        await stream.until("waiting")
        await end(server, key)
        async with asyncio.timeout(5):  # the promise
            await stream.rest()
            assert stream.ended_cleanly
            assert await closed_code(socket) == 4401
            assert await closed_code(by_ticket) == 4401
        assert await told(other, token) == (401, "revoked_token")
        if end is not end_tenant:
            await theirs.send('{"type": "ping", "request_id": "alive"}')
            assert json.loads(await theirs.recv())["type"] == "pong"
            assert (await told(other, bob))[0] == 200
    if end not in (revoke_key, rotate_key):
        again = await mint(other, key, subject="ann")
        for each in (server, other):
            assert (await told(each, again))[0] == 200


async def test_a_stream_ends_with_its_token(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    token = await mint(server, await issue(server), expires_in=2)
    message = (await ask(server, "POST", "/messages", token, {"message": "Hello"})).json()["message_id"]
    ticket = (await ask(server, "POST", "/tickets", token, {})).json()["ticket"]
    async with (
        wire.stream(server.url, message, key=token) as stream,
        connect(f"{server.url.replace('http', 'ws')}/ws?ticket={ticket}") as socket,
    ):
        await stream.rest()
        assert stream.ended_cleanly
        assert await closed_code(socket) == 4401


async def test_tokens_of_a_replaced_secret_stay_good(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    store = server.runtime.services.store
    key = await issue(server)
    first = await mint(server, key)
    monkeypatch.setattr("app.access.signing.SECRET_DAYS", 0)
    second = await mint(server, key)
    assert len(await store.list_signing_secrets()) == 2
    assert parts(first)[0]["kid"] == parts(second)[0]["kid"], "a new secret signs nothing at first"
    monkeypatch.setattr("app.access.signing.SECRET_DAYS", 7)
    monkeypatch.setattr("app.access.signing.SETTLED", SETTLED - SETTLED)
    third = await mint(server, key)
    assert parts(third)[0]["kid"] != parts(first)[0]["kid"]
    for token in (first, second, third):
        assert (await told(server, token))[0] == 200


async def test_the_first_key_ends_tokens_that_were_made_without_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    response = await wire.request(server.url, "POST", "/tokens", headers=JSON, body=b'{"subject": "ann"}')
    token = response.json()["token"]
    assert (await told(server, token))[0] == 200
    await issue(server)
    await until(lambda: server.runtime.services.access._keys.find(token) is None, "the key is known")
    assert await told(server, token) == (401, "revoked_token")


# Tickets


async def opened(server: LiveServer, path: str) -> tuple[int, str]:
    """Return the reply to a request for a stream or a socket with a ticket in its path."""
    if "/ws" in path:
        try:
            async with connect(server.url.replace("http", "ws") + path):
                return 101, ""
        except InvalidStatus as error:
            return error.response.status_code, json.loads(error.response.body or b"{}").get("code", "")
    response = await wire.request(server.url, "HEAD", path)
    return response.status, ""


async def test_a_ticket_opens_one_stream_or_socket(serve: Serve, database: str) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    other = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    key = await issue(server)
    await until(lambda: other.runtime.services.access._keys.has_keys, "the other process knows the key")
    token = await mint(server, key, subject="ann")
    message = (await ask(server, "POST", "/messages", token, {"message": "Hello"})).json()["message_id"]
    foreign = (await ask(server, "POST", "/messages", key, {"message": "Hello"})).json()["message_id"]

    async def ticket(**fields: Any) -> str:
        response = await ask(server, "POST", "/tickets", token, fields)
        assert response.status == 201, response.body
        return f"?ticket={response.json()['ticket']}"

    stream = f"/messages/{message}/stream"
    for path in (stream, "/ws"):
        given = await ticket()
        tries = await asyncio.gather(*(opened(each, path + given) for each in (server, other) * 3))
        assert sorted(status for status, _ in tries)[:1] == [200 if path is stream else 101]
        assert [status for status, _ in tries].count(401) == 5
    assert (await opened(server, f"/messages/{foreign}/stream{await ticket()}"))[0] == 404
    bound = await ticket(message_id=message)
    assert await opened(server, f"/ws{bound}") == (401, "invalid_token")
    assert (await opened(server, f"/messages/{foreign}/stream{bound}"))[0] == 401
    assert (await opened(server, stream + bound))[0] == 200
    assert (await ask(server, "POST", "/tickets", token, {"message_id": foreign})).json()["code"] == "message_not_found"
    wrong = await ticket()
    for path in ("/messages", f"/messages/{message}", f"/messages/{message}/events"):
        assert (await wire.request(server.url, "GET", path + wrong)).status == 401
    text = wrong.partition("=")[2]
    for method, path in (("GET", "/messages"), ("POST", "/tickets")):
        response = await ask(server, method, path, text, {} if method == "POST" else None)
        assert (response.status, response.json()["code"]) == (401, "invalid_token")
    assert (await opened(server, stream + wrong))[0] == 200, "no refusal used it up"


async def test_a_ticket_is_good_for_thirty_seconds(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    response = await ask(server, "POST", "/tickets", key, {})
    expires_at = response.json()["expires_at"]
    now = server.runtime.services.store.now()
    assert rfc3339(now + timedelta(seconds=20)) < expires_at <= rfc3339(now + timedelta(seconds=30))
    monkeypatch.setattr("app.access.tokens.TICKET_LIFE_SECONDS", -1)
    ticket = (await ask(server, "POST", "/tickets", key, {})).json()["ticket"]
    assert await opened(server, f"/ws?ticket={ticket}") == (401, "expired_token")


async def test_a_wrong_ticket_is_refused(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    token = await mint(server, key)
    good = (await ask(server, "POST", "/tickets", key, {})).json()["ticket"]
    for ticket in ("", "x", "aqk_x", token, key.text, good[:-3], "aqk_" + token.removeprefix("aqt_"), "%00", "aqk_%ff"):
        assert (await opened(server, f"/ws?ticket={ticket}"))[0] == 401, ticket
    assert (await opened(server, f"/ws?ticket={good}&ticket={good}"))[0] == 422
    assert (await opened(server, f"/ws?ticket={good}"))[0] == 101


async def test_the_page_reads_a_stream_with_a_ticket(serve: Serve, tmp_path: Path) -> None:
    """In Node, whose EventSource is that of browsers."""
    server = await serve()
    token = await mint(server, await issue(server), subject="ann")
    message = (await ask(server, "POST", "/messages", token, {"message": "Hello"})).json()["message_id"]
    node = shutil.which("node")
    assert node is not None, "Node.js has to be installed for this test"
    script = tmp_path / "page.mjs"
    headers = json.dumps({**JSON, **bearer(token)})
    script.write_text(f"""
        const id = {json.dumps(message)}, show = console.log, headers = {headers};
        const post = async (path, body) => (
            await fetch("{server.url}" + path, {{ method: "POST", headers, body: JSON.stringify(body) }})
        ).json();
        """ + named(DOCS / "how-to" / "tokens.md", "file: ticket.js").replace("`/messages", f"`{server.url}/messages"))
    command = (node, "--no-warnings", "--experimental-eventsource", str(script))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()
    result = (await ask(server, "GET", f"/messages/{message}/status", token)).json()["result"]
    assert printed.decode().strip() == result


def test_credentials_stand_in_no_log(tmp_path: Path) -> None:
    """No token is logged at the most talkative level, nor in an access log."""
    with server_process(tmp_path, LOG_LEVEL="DEBUG", WORKER_CONCURRENCY="0") as server:

        async def use() -> list[str]:
            await server.ready()
            response = await wire.request(server.url, "POST", "/tokens", headers=JSON, body=b"{}")
            token = response.json()["token"]
            headers = {**JSON, **bearer(token)}
            message = await wire.request(server.url, "POST", "/messages", headers=headers, body=HELLO)
            stream = f"/messages/{message.json()['message_id']}/stream"
            given = [token]
            for path in (stream, "/nothing", "/messages", stream):
                response = await wire.request(server.url, "POST", "/tickets", headers=headers, body=b"{}")
                given.append(response.json()["ticket"])
                answer = await wire.request(server.url, "HEAD", f"{path}?ticket={given[-1]}")
                assert given[-1] not in answer.body.decode()
            return given

        given = asyncio.run(use())
    for each in given:
        for part in (each, *each.partition("_")[2].split(".")[1:]):
            assert part not in server.output
