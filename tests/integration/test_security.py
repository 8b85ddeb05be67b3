"""Callers are admitted or not, secrets stay secret, and a forged file cannot run code."""

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx2
import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_POS_ARGS, JsonPlusSerializer
from websockets.exceptions import InvalidStatus

from app.config import Settings
from tests import raw, surfaces, wire
from tests.graph_control import GraphControl
from tests.integration.conftest import ChatProcess, Serve
from tests.integration.test_api import check_problem
from tests.integration.test_stages import ended_message, operations
from tests.servers import LiveServer, live_server, until
from tests.talk import talk

GUARDED = [
    ("POST", "/messages"),
    ("GET", "/messages/x/status"),
    ("GET", "/messages/x/stream"),
    ("GET", "/messages/x/events"),
    ("DELETE", "/messages/x"),
    ("GET", "/queue"),
    ("GET", "/threads"),
    ("GET", "/threads/x"),
    ("GET", "/threads/x/messages"),
]
OPEN = ["/health", "/health/live", "/health/ready"]


async def send(server: LiveServer, method: str, path: str, **headers: str) -> wire.RawResponse:
    """A request that would be served but for its headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await wire.request(
        server.url,
        method,
        path,
        headers={"Content-Type": "application/json", **named},
        body=b'{"message": "Hi"}' if method == "POST" else b"",
    )


def check_refused(response: wire.RawResponse | httpx2.Response) -> None:
    problem = check_problem(response, 401, "authentication_required")
    assert "ALLOW_ANONYMOUS=true" in problem["detail"]
    assert response.headers["www-authenticate"]


# Without keys: this host and nobody else


async def test_this_host_is_served(quiet: LiveServer) -> None:
    port = quiet.url.rpartition(":")[2]
    for host in (
        f"localhost:{port}",
        f"127.0.0.1:{port}",
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        f"[::1]:{port}",
        "127.1.2.3",
    ):
        for method, path in GUARDED:
            assert (await send(quiet, method, path, Host=host)).status in {202, 200, 404}


INVALID_HOSTS = [
    "local host",
    "localhost\tevil.example",
    "evil.example#localhost",
    "localhost/evil",
    "127.0.0.1:8000@evil.example",
    "evil.example,localhost",
    "localhost:",
    "localhost:80x",
    "localhost:65536",
    "localhost:+80",
    "localhost:80:80",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "[::1%25eth0]",
    "[::1]x",
    ".localhost",
    "local%68ost",
    "localhost\u00e9",
    "",
]


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_a_host_that_is_none_is_refused_whoever_may_use_the_server(serve: Serve, open_to_all: bool) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=open_to_all)
    for host in INVALID_HOSTS:
        check_problem(await send(server, "POST", "/messages", Host=host), 400, "invalid_host")
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nhost: evil.example\r\n"):
        async with raw.connected(server.url) as client:
            await client.send(b"GET /queue HTTP/1.1\r\n" + hosts + b"\r\n")
            check_problem(await client.response(), 400, "invalid_host")
    for host in ("queue.example", "queue_1:80", "queue.example.", "[2001:db8::1]:8000"):
        status = (await send(server, "GET", "/queue", Host=host)).status
        assert status == (200 if open_to_all else 401)


FORWARDING = {
    "X_Forwarded_For": "203.0.113.9",
    "x_forwarded_for": "127.0.0.1",
    "X_FORWARDED_FOR": "",
    "Forwarded": "for=192.0.2.60;proto=http;by=203.0.113.43",
    "X_Forwarded_Host": "localhost",
    "X_Real_IP": "127.0.0.1",
    "CloudFront_Viewer_Address": "127.0.0.1:1",
    "X_Cloud_Trace_Context": "1/1;o=1",
    "X_Amzn_Oidc_Data": "x",
    "X_Goog_IAP_JWT_Assertion": "x",
    "Remote_User": "me",
    "Via": "1.1 proxy",
    "X_Forwarded": "for=127.0.0.1",
    "X_Original_Host": "localhost",
    "X_Cluster_Client_IP": "127.0.0.1",
    "True_Client_IP": "127.0.0.1",
    "CF_Connecting_IP": "127.0.0.1",
    "CF_Ray": "1-AMS",
    "CDN_Loop": "cdn",
    "Fastly_Client_IP": "127.0.0.1",
    "Fly_Client_IP": "127.0.0.1",
    "X_Envoy_External_Address": "127.0.0.1",
    "X_Azure_ClientIP": "127.0.0.1",
    "X_Amzn_Trace_Id": "Root=1",
    "X_AppEngine_User_IP": "127.0.0.1",
    "X_Vercel_Id": "fra1::1",
    "X_NF_Client_Connection_IP": "127.0.0.1",
    "X_Request_Start": "t=1",
    "Tailscale_User_Login": "somebody",
    "ngrok_skip_browser_warning": "1",
}


@pytest.mark.parametrize("header", FORWARDING)
async def test_what_a_proxy_passes_on_is_refused(quiet: LiveServer, header: str) -> None:
    for method, path in GUARDED:
        check_refused(await send(quiet, method, path, **{header: FORWARDING[header]}))
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "192.0.2.1",
    "[2001:db8::1]:80",
    "[::]",
    "[::ffff:8.8.8.8]",
    "0.0.0.0",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "localhost.localdomain",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_page_elsewhere_that_names_this_host_is_refused(quiet: LiveServer, host: str) -> None:
    """DNS rebinding: the browser is on this host, the name in its address bar is not."""
    for method, path in GUARDED:
        check_refused(await send(quiet, method, path, Host=host))


async def test_no_guarded_route_answers_a_page_elsewhere_that_names_this_host(quiet: LiveServer) -> None:
    message_id = await ended_message(quiet)
    guarded = 0
    for method, declared, path, needed in operations(quiet, message_id):
        response = await send(quiet, method, path, Host="evil.example")
        if declared == "/session":  # it asks the same gate itself, since it needs a caller but no scope
            assert response.status in (401, 403), (method, declared)
        elif needed is None:
            assert response.status < 400, (method, declared)
        else:
            told = surfaces.check_refused(response, path, 401, "authentication_required")
            assert "ALLOW_ANONYMOUS=true" in told
            assert response.headers["www-authenticate"]
            guarded += 1
    assert guarded > 40
    with pytest.raises(InvalidStatus, match="401"):
        async with talk(quiet.url.replace("127.0.0.1", "localtest.example"), host="127.0.0.1"):
            pass


@pytest.mark.parametrize(
    "peer", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::7", "fe80::1%eth0", "0.0.0.0", "::", "testclient"]
)
async def test_peers_elsewhere_are_refused(quiet: LiveServer, peer: str) -> None:
    transport = httpx2.ASGITransport(quiet.app, client=(peer, 4000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method, path in GUARDED:
            check_refused(await client.request(method, path))
        for path in OPEN:
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_all_loopback_addresses_are_this_host(quiet: LiveServer, peer: str) -> None:
    transport = httpx2.ASGITransport(quiet.app, client=(peer, 4000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/queue")).status_code == 200


def outer_address() -> str | None:
    """An address of this host that is not a loopback one, if it has any; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


async def test_a_real_peer_of_another_address_is_refused(serve: Serve) -> None:
    server = await serve(host="0.0.0.0", worker_concurrency=0)
    address = outer_address() or "127.0.0.1"
    url = server.url.replace("127.0.0.1", address)
    response = await wire.request(url, "GET", "/queue")
    if address == "127.0.0.1":  # a host without a network: the peers above have to do
        assert response.status == 200
        return
    check_refused(response)
    check_refused(await wire.request(url, "GET", "/queue", headers={"Host": "localhost"}))
    assert (await wire.request(url, "GET", "/health")).status == 200


async def test_a_refused_stream_is_refused_before_it_begins(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    check_refused(await send(quiet, "GET", f"/messages/{message_id}/stream", X_Forwarded_For="203.0.113.9"))


async def test_a_refusal_comes_before_the_body_is_looked_at(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    for body in (b"{", b'{"message": ""}'):
        response = await wire.request(
            server.url, "POST", "/messages", headers={"Via": "1.1 proxy", "Content-Type": "text/plain"}, body=body
        )
        check_refused(response)


async def test_allow_anonymous_opens_and_warns(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=True)
    response = await send(server, "POST", "/messages", Host="queue.example", X_Forwarded_For="203.0.113.9")
    assert response.status == 202
    transport = httpx2.ASGITransport(server.app, client=("203.0.113.9", 4000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://queue.example") as client:
        assert (await client.get("/queue")).json()["total_queued"] == 1
    (warning,) = [record for record in caplog.records if "ALLOW_ANONYMOUS" in record.getMessage()]
    assert (warning.levelname, warning.name) == ("WARNING", "app.bootstrap")


async def test_health_is_open_to_all_and_tells_nothing_of_anybody(quiet: LiveServer) -> None:
    await quiet.submit("a private matter", thread_id="private-thread")
    for path in OPEN:
        response = await send(quiet, "GET", path, X_Forwarded_For="203.0.113.9", Host="probe.example")
        assert response.status == 200
        assert b"private" not in response.body


async def test_no_page_elsewhere_may_read_answers(quiet: LiveServer) -> None:
    for method, path in [("GET", "/queue"), ("OPTIONS", "/messages")]:
        response = await send(quiet, method, path, Origin="https://evil.example", Access_Control_Request_Method="POST")
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_the_server_does_not_tell_what_it_is_made_of(quiet: LiveServer) -> None:
    response = await send(quiet, "GET", "/health")
    assert "server" not in response.headers
    assert "x-powered-by" not in response.headers


# Secrets


async def test_no_secret_reaches_the_log_even_at_debug(chat_process: ChatProcess) -> None:
    """The provider repeats the key in its error; the log tells of the error, with a traceback."""
    server = chat_process.server
    key = "sk-canary-7f3a9c"
    shown = []
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        for text in ("#status 401", "canary-in-a-prompt"):
            message_id = (await client.post("/messages", json={"message": text})).json()["message_id"]

            async def ended(path: str = f"/messages/{message_id}/status") -> str | None:
                response = await client.get(path)
                return response.text if response.json()["completed_at"] else None

            shown.append(await until(ended, "the message ends"))
            shown.append((await client.get(f"/messages/{message_id}/events")).text)
    assert f"Bearer {key}" in {request.headers["authorization"] for request in chat_process.stub.requests}
    assert "Incorrect API key provided: ***" in shown[0]
    assert key not in "".join(shown)
    assert "DEBUG - Traceback" in server.output
    assert "Incorrect API key provided: ***" in server.output
    assert key not in server.output
    assert "canary-in-a-prompt" not in server.output


def test_settings_do_not_show_the_key(settings: Callable[..., Settings]) -> None:
    made = settings(openai_api_key="sk-canary-7f3a9c")
    assert "canary" not in f"{made!r} {made} {made.model_dump()} {made.model_dump_json()}"


async def test_database_files_are_readable_to_their_owner_only(
    settings: Callable[..., Settings], tmp_path: Path, control: GraphControl
) -> None:
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path}/data/inner/queue.db"
    async with live_server(settings(database_url=url, agents="steps=tests.graphs:steps")) as server:
        await server.ended((await server.submit())["message_id"])
        folder = tmp_path / "data" / "inner"
        files = {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}
        assert files.keys() >= {"queue.db", "queue_checkpoints.db"}
        assert set(files.values()) == {"0o600"}
        assert oct(folder.stat().st_mode & 0o777) == "0o700"


# What a forged file cannot do


def forged(code: str) -> bytes:
    """Msgpack that calls `builtins.exec` where types are not restricted."""
    call = ormsgpack.packb(("builtins", "exec", (code,)))
    return ormsgpack.packb(ormsgpack.Ext(EXT_CONSTRUCTOR_POS_ARGS, call))


@pytest.mark.filterwarnings("ignore")
def test_the_forgery_works_where_types_are_not_restricted(tmp_path: Path) -> None:
    """The control: without this, the next test would prove nothing."""
    code = f"open({str(tmp_path / 'executed')!r}, 'w').close()"
    JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(("msgpack", forged(code)))
    assert (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore")
async def test_a_forged_checkpoint_runs_no_code(
    settings: Callable[..., Settings], control: GraphControl, tmp_path: Path
) -> None:
    agents = "steps=tests.graphs:steps"
    async with live_server(settings(agents=agents)) as server:
        await server.ended((await server.submit("one", thread_id="t"))["message_id"])

    code = f"open({str(tmp_path / 'executed')!r}, 'w').close()"
    connection = sqlite3.connect(tmp_path / "queue_checkpoints.db")  # LangGraph's file, its own SQLite
    with connection:
        changed = connection.execute("UPDATE checkpoints SET type = 'msgpack', checkpoint = ?", (forged(code),))
        changed_writes = connection.execute("UPDATE writes SET type = 'msgpack', value = ?", (forged(code),))
    connection.close()
    assert changed.rowcount > 0
    assert changed_writes.rowcount > 0

    async with live_server(settings(agents=agents)) as server:
        await server.ended((await server.submit("two", thread_id="t"))["message_id"])
        other = await server.ended((await server.submit("three", thread_id="u"))["message_id"])
        assert other["result"] == "Heard: three"
    assert not (tmp_path / "executed").exists()
