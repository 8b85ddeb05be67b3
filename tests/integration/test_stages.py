"""Every request and every frame of a WebSocket passes the same stages in the same order, and is held to its scope."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus

from app import bootstrap
from app.access.principals import Principal
from app.access.rule import Access
from app.access.scopes import AccessScope, public, scope_of
from app.api import application, description, websocket_frames
from app.api.cors import AllowedOrigins
from app.api.errors import NOTHING_HERE
from app.api.forwarding import ForwardedRequests
from app.api.header_checks import HeaderChecks
from app.api.middleware import Authorization, Routing, call_endpoint
from app.api.queries import KnownQuery
from app.api.targets import TARGET
from app.config import Settings
from app.dashboard.assets import read_assets
from app.main import create_app
from tests import wire
from tests.integration.conftest import Serve
from tests.langgraph_clients import LANGGRAPH_READS_BY_POST, LANGGRAPH_SUBMITS
from tests.openai_clients import OPENAI_SUBMITS
from tests.servers import LiveServer
from tests.surfaces import check_refused
from tests.talk import talk

PAGE = "https://app.example"
PROXY = "192.0.2.1"
OF_A_REQUEST = [
    "ForwardedRequests",
    "AllowedOrigins",
    "HeaderChecks",
    "Routing",
    "Authorization",
    "KnownQuery",
    "endpoint",
]
STATUSES = {200, 202, 204, 308, 400, 404, 409, 422, 501, 503}
OF_A_FRAME = ["Authorization", "KnownQuery", "endpoint"]

SUBMITS = {"POST /messages", "POST /messages/batch", "POST /messages/{message_id}/regenerate"}
SUBMITS |= {"POST /threads", "POST /tokens", "POST /tokens/revoke"}
SUBMITS |= {f"POST /langgraph{path}" for path in LANGGRAPH_SUBMITS}
SUBMITS |= {"POST /api/chat", "POST /agui/{agent}"}
SUBMITS |= {f"POST /v1{path}" for path in OPENAI_SUBMITS}
READS_BY_POST = {"POST /tickets", "POST /store/items/search", "POST /store/namespaces"}
READS_BY_POST |= {f"POST /langgraph{path}" for path in LANGGRAPH_READS_BY_POST}
READS_BY_POST |= {"POST /mcp", "POST /a2a/{agent}"}  # each tool and each method has a scope of its own
ADMINISTERS = {"POST /queue/pause", "POST /queue/resume", "GET /workers"}
ADMINISTERS |= {"POST /workers/{worker_id}/drain", "POST /workers/{worker_id}/resume"}
ADMINISTERS |= {
    "GET /doctor",
    "GET /settings",
    "GET /audit",
    "POST /keys",
    "GET /keys",
    "GET /keys/{key_id}",
    "POST /keys/{key_id}/rotate",
    "POST /keys/{key_id}/revoke",
    "PATCH /keys/{key_id}",
    "GET /tenants",
    "GET /tenants/{tenant:path}",
    "PATCH /tenants/{tenant:path}",
    "DELETE /tenants/{tenant:path}",
}
OPEN_TO_ALL = {"GET /", "GET /openapi.json", "GET /docs", "GET /docs/oauth2-redirect", "GET /redoc"}
OPEN_TO_ALL |= {"POST /session", "GET /session", "DELETE /session"}  # the last two need a caller with any scope
OPEN_TO_ALL |= {"GET /langgraph/ok", "GET /langgraph/info"}
OPEN_TO_ALL |= {"GET /health", "GET /health/live", "GET /health/ready", "GET /static-offline-docs"}
OPEN_TO_ALL |= {"GET /dashboard", "GET /dashboard/", "GET /dashboard/assets/{digest}/{path:path}"}

ASSET = f"{read_assets().digest}/main.js"

FRAMES: dict[str, dict[str, Any]] = {
    "submit": {"message": "Hello"},
    "subscribe": {"message_id": "x"},
    "unsubscribe": {"message_id": "x"},
    "cancel": {"message_id": "x"},
    "resume": {"message_id": "x", "value": "yes"},
    "ping": {},
}


class Passed:
    """The calls of the stages of a server: their names in order, and the scope that the target needed."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.needed: AccessScope | None = None

    def taken(self) -> list[str]:
        """The stages since the last call."""
        stages, self.stages = self.stages, []
        return stages

    def noting(self, name: str, call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Like `call`, which is noted."""

        def noted(*arguments: Any) -> Awaitable[None]:
            self.stages.append(name)
            if name == "endpoint":
                self.needed = arguments[0][TARGET].needs
            return call(*arguments)

        return noted


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Notes the stages of servers that are started after it."""
    passed = Passed()
    for stage in (ForwardedRequests, AllowedOrigins, HeaderChecks, Routing, Authorization, KnownQuery):
        monkeypatch.setattr(stage, "__call__", passed.noting(stage.__name__, stage.__call__))
    monkeypatch.setattr(application, "call_endpoint", passed.noting("endpoint", call_endpoint))
    return passed


def operations(server: LiveServer, message_id: str) -> Iterator[tuple[str, str, str, AccessScope | None]]:
    """Each method, path as it is declared, path to ask for, and declared scope."""
    for route in server.app.router.routes:
        match route:
            case WebSocketRoute():
                continue
            case Mount():
                yield "GET", route.path, f"{route.path}/favicon.png", scope_of(route.app)
            case Route():
                path = route.path.replace("{message_id}", message_id).replace("{digest}/{path:path}", ASSET)
                for method in sorted((route.methods or set()) - {"HEAD"}):
                    yield method, route.path, re.sub(r"\{.*?\}", "x", path), scope_of(route.endpoint)
            case _:
                raise AssertionError(f"another kind of route: {route}")


async def asked(server: LiveServer, method: str, path: str) -> wire.RawResponse:
    """The answer to a request with a body that only a submit takes. As JSON: the stream of changes has no end."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return await wire.request(server.url, method, path, headers=headers, body=b'{"message": "Hello"}')


async def ended_message(server: LiveServer) -> str:
    """The id of a message whose stream ends."""
    message_id: str = (await server.submit(thread_id="x"))["message_id"]
    assert (await server.client.delete(f"/messages/{message_id}")).status_code == 200
    return message_id


async def test_each_request_passes_each_stage_once_and_in_order(passed: Passed, serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[PAGE], trusted_proxies=PROXY)
    message_id = await ended_message(server)
    walked = 0
    for method, declared, path, needed in operations(server, message_id):
        passed.taken()
        response = await asked(server, method, path)
        assert passed.taken() == OF_A_REQUEST, (method, declared)
        assert passed.needed is needed, (method, declared)
        statuses = {405} if (method, declared) == ("GET", "/mcp") else STATUSES  # it opens no stream
        assert response.status in statuses, (method, declared, response)
        if response.status == 404:
            assert NOTHING_HERE not in response.body.decode(), (method, declared)
        walked += 1
    assert walked > 35


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/messages", 405), ("OPTIONS", "/queue", 204)]
)
async def test_so_does_a_request_without_a_route(
    passed: Passed, serve: Serve, method: str, path: str, status: int
) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[PAGE], trusted_proxies=PROXY)
    assert (await asked(server, method, path)).status == status
    assert passed.taken() == OF_A_REQUEST


async def test_each_frame_passes_each_stage_of_a_call_once_and_in_order(passed: Passed, serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[PAGE], trusted_proxies=PROXY)
    assert FRAMES.keys() == websocket_frames.MODELS.keys()
    async with talk(server.url) as client:
        assert passed.taken() == OF_A_REQUEST
        for kind, fields in FRAMES.items():
            await client.ask(kind, **fields)
            assert passed.taken() == OF_A_FRAME, kind
            assert passed.needed is scope_of(websocket_frames.MODELS[kind]), kind


def expected_scope(operation: str) -> AccessScope | None:
    """Return the scope that an operation needs. A new operation is on one tenant's messages unless listed above."""
    if operation in OPEN_TO_ALL:
        return None
    if operation in SUBMITS:
        return AccessScope.SUBMIT
    if operation in ADMINISTERS:
        return AccessScope.ADMIN
    if operation == "GET /metrics":
        return AccessScope.METRICS
    return AccessScope.READ if operation.startswith("GET ") or operation in READS_BY_POST else AccessScope.CONTROL


@pytest.mark.parametrize("granted", AccessScope)
async def test_a_caller_may_do_what_the_scope_says_and_nothing_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, granted: AccessScope
) -> None:
    server = await serve(worker_concurrency=0)
    message_id = await ended_message(server)
    narrow = Principal("default", frozenset({granted}))
    monkeypatch.setattr(bootstrap, "Access", partial(Access, anonymous=narrow))
    server = await serve(worker_concurrency=0)

    for method, declared, path, _ in operations(server, message_id):
        response = await asked(server, method, path)
        if expected_scope(f"{method} {declared}") in {granted, None}:
            assert response.status != 403, (method, declared)
        else:
            check_refused(response, path, 403, "insufficient_scope")


async def test_a_frame_is_held_to_its_own_scope(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Principal("default", frozenset({AccessScope.READ}))
    monkeypatch.setattr(bootstrap, "Access", partial(Access, anonymous=reads))
    server = await serve(worker_concurrency=0)
    refused = set()
    async with talk(server.url) as client:
        for kind, fields in FRAMES.items():
            answer = await client.ask(kind, **fields)
            if answer["type"] == "error" and answer["problem"]["code"] == "insufficient_scope":
                refused.add(kind)
    assert refused == {"submit", "cancel", "resume"}
    assert (await server.client.get("/queue")).json()["total_queued"] == 0


async def test_a_websocket_is_opened_to_those_who_may_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    submits = Principal("default", frozenset({AccessScope.SUBMIT}))
    monkeypatch.setattr(bootstrap, "Access", partial(Access, anonymous=submits))
    server = await serve(worker_concurrency=0)
    with pytest.raises(InvalidStatus) as refused:
        async with talk(server.url):
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["code"] == "insufficient_scope"


async def test_a_frame_is_authorized_when_it_is_carried_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    async with talk(server.url) as client:
        assert (await client.ask("submit", message="Hello", subscribe=False))["type"] == "accepted"
        nobody = Principal("default", frozenset())
        monkeypatch.setattr(server.runtime.services.access, "_anonymous", nobody)
        answer = await client.ask("submit", message="Hello")
        assert answer["problem"]["code"] == "insufficient_scope"
        assert (await client.ask("ping"))["type"] == "pong"


async def nothing(_: Any) -> Response:
    """An endpoint."""
    return Response()


def test_a_route_without_a_declared_scope_keeps_the_server_from_starting(
    monkeypatch: pytest.MonkeyPatch, settings: Callable[..., Settings]
) -> None:
    async def declared(_: Any) -> Response:
        return Response()

    monkeypatch.setattr(description, "routes", [*description.routes, Route("/new", public(declared))])
    create_app(settings())
    monkeypatch.setattr(description, "routes", [*description.routes, Route("/newer", nothing)])
    with pytest.raises(LookupError, match="nothing"):
        create_app(settings())


def test_a_route_cannot_be_added_behind_the_list(settings: Callable[..., Settings]) -> None:
    app = create_app(settings())
    with pytest.raises(AttributeError):
        app.add_api_route("/new", nothing)
