"""A part of `make fuzz`: no odd request breaks the server or its description, and scopes and tenants hold."""

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from tests.fuzz import EVERYTHING, callers_of, made_key
from tests.fuzzing import Caller, Findings, fuzz, scopes_of
from tests.fuzzing_chats import AgUiApi, ChatPagesApi, OpenAiApi
from tests.fuzzing_langgraph import LangGraphApi
from tests.fuzzing_streams import StreamsApi
from tests.fuzzing_tasks import A2aApi
from tests.fuzzing_tools import McpApi
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS
from tests.openai_stub import Status, StubServer
from tests.servers import LiveServer

# The server runs in this process, and LangGraph's saver draws from the module's generator while cases are being made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


WHO = ("everything", "another tenant", "read", "submit")


@pytest.fixture
async def server(serve: Serve, model: StubServer) -> LiveServer:
    """A server with a message that has failed among those that have ended."""
    model.replies.append(Status(400))
    server = await serve(worker_concurrency=4, max_queue_size=100_000)
    await server.runtime.services.registry.loaded.wait()  # its imports and the making of cases both change warnings
    return server


def ask(server: LiveServer, examples: int, callers_of_key: Callable[[httpx2.Client, str], list[Caller]]) -> Findings:
    """Send each operation some requests of each kind for each caller. An admin's client and key make the callers."""
    with httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
        admin.headers["X-API-Key"] = key = made_key(admin, EVERYTHING)
        return fuzz(admin, callers_of_key(admin, key), scopes_of(server.app), examples=examples)


async def test_no_request_breaks_the_server_or_the_description(server: LiveServer) -> None:
    def with_everything(admin: httpx2.Client, _: str) -> list[Caller]:
        return [each for each in callers_of(admin) if each.name == "everything"]

    findings = await asyncio.to_thread(ask, server, 25, with_everything)
    assert findings.failures == {}
    assert findings.unauthorized <= {"POST /session"}, "only tickets and credentials in a body may be wrong"
    assert (await server.client.get("/health")).json()["checks"]["store"]["ok"]


async def test_no_request_gets_more_than_its_scope_and_tenant_allow(server: LiveServer) -> None:
    """The control: of callers that have a key for everything, those who may do less are found out."""

    def with_wrong_ones(admin: httpx2.Client, key: str) -> list[Caller]:
        wrong = [Caller("wrong scope", frozenset(), key), Caller("wrong tenant", EVERYTHING, key, is_foreign=True)]
        return [*callers_of(admin), *wrong]

    findings = await asyncio.to_thread(ask, server, 1, with_wrong_ones)
    found = {where for where in findings.failures if where.startswith("wrong")}
    assert {where: failure for where, failure in findings.failures.items() if where not in found} == {}
    assert {200, 202, 401, 403, 404, 422} <= findings.statuses.keys()
    assert "wrong scope, positive: GET /queue" in found
    assert "wrong tenant, positive: GET /messages/{message_id}/status" in found
    assert not any(": GET /health" in where for where in found)


async def test_no_request_of_langgraphs_clients_breaks_the_server(serve: Serve, control: GraphControl) -> None:
    """The control: a caller who is taken for a stranger, or for one without scopes, is found out here too."""
    server = await serve(
        agents=AGENTS, worker_concurrency=4, max_attempts=1, max_queue_size=100_000, keepalive_interval=60
    )
    await server.runtime.services.registry.loaded.wait()

    def send() -> Findings:
        with httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
            admin.headers["X-API-Key"] = key = made_key(admin, EVERYTHING)
            callers = [each for each in callers_of(admin) if each.name in ("everything", "another tenant", "read")]
            wrong = [Caller("wrong scope", frozenset(), key), Caller("wrong tenant", EVERYTHING, key, is_foreign=True)]
            target = LangGraphApi(server.app)
            return fuzz(admin, [*callers, *wrong], scopes_of(server.app), examples=3, target=target)

    findings = await asyncio.to_thread(send)
    found = {where for where in findings.failures if where.startswith("wrong")}
    assert {where: failure for where, failure in findings.failures.items() if where not in found} == {}
    assert {200, 204, 403, 404, 422, 501} <= findings.statuses.keys()
    assert "wrong scope, positive: POST /langgraph/threads/search" in found
    assert "wrong tenant, positive: GET /langgraph/threads/{thread_id}" in found
    assert "wrong tenant, positive: POST /langgraph/threads/search" in found


@pytest.mark.parametrize("api", [OpenAiApi, ChatPagesApi, AgUiApi, McpApi, A2aApi, StreamsApi])
async def test_no_request_of_other_clients_breaks_the_server(
    serve: Serve, control: GraphControl, api: type[OpenAiApi]
) -> None:
    """The control: a caller who is taken for a stranger is found out."""
    server = await serve(agents=AGENTS, worker_concurrency=4, max_attempts=1, max_queue_size=100_000)
    await server.runtime.services.registry.loaded.wait()

    def send() -> Findings:
        with httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
            admin.headers["X-API-Key"] = key = made_key(admin, EVERYTHING)
            callers = [each for each in callers_of(admin) if each.name in WHO]
            wrong = Caller("wrong tenant", EVERYTHING, key, is_foreign=True)
            return fuzz(admin, [*callers, wrong], scopes_of(server.app), examples=5, target=api(server.app))

    findings = await asyncio.to_thread(send)
    found = {where for where in findings.failures if where.startswith("wrong")}
    assert {where: failure for where, failure in findings.failures.items() if where not in found} == {}
    assert found
    assert {200, 403, 404} <= findings.statuses.keys()
