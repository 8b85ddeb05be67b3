"""A part of `make fuzz`: no odd request breaks the server or its description, and scopes and tenants hold."""

import asyncio

import httpx2
import pytest

from tests.fuzz import EVERYTHING, callers_of, made_key
from tests.fuzzing import Caller, Findings, fuzz, scopes_of
from tests.integration.conftest import Serve
from tests.openai_stub import Status, StubServer
from tests.servers import LiveServer

# The server runs in this process, and LangGraph's saver draws from the module's generator while cases are being made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@pytest.fixture
async def server(serve: Serve, model: StubServer) -> LiveServer:
    """A server with a message that has failed among those that have ended."""
    model.replies.append(Status(400))
    return await serve(worker_concurrency=4, max_queue_size=100_000)


def ask(server: LiveServer, examples: int, names: set[str] | None = None) -> Findings:
    """Send each operation some requests of each kind for each caller, or for the callers with these names."""
    with httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
        admin.headers["X-API-Key"] = made_key(admin, EVERYTHING)
        callers = [each for each in callers_of(admin) if names is None or each.name in names]
        return fuzz(admin, callers, scopes_of(server.app), examples=examples)


async def test_no_request_breaks_the_server_or_the_description(server: LiveServer) -> None:
    findings = await asyncio.to_thread(ask, server, 25, {"everything"})
    assert findings.failures == {}
    assert findings.statuses[401] < findings.sent / 50, "only tickets may be wrong"
    assert (await server.client.get("/health")).json()["checks"]["store"]["ok"]


async def test_no_request_gets_more_than_its_scope_and_tenant_allow(server: LiveServer) -> None:
    findings = await asyncio.to_thread(ask, server, 1)
    assert findings.failures == {}
    assert {200, 202, 401, 403, 404, 422} <= findings.statuses.keys()


async def test_what_is_wrong_is_found(server: LiveServer) -> None:
    """The control: with keys that may do everything, others that may not are found out."""
    everything = scopes_of(server.app)
    with httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
        admin.headers["X-API-Key"] = key = await asyncio.to_thread(made_key, admin, EVERYTHING)
        callers = [Caller("narrow", frozenset(), key), Caller("foreign", EVERYTHING, key, is_foreign=True)]
        findings = await asyncio.to_thread(fuzz, admin, callers, everything, examples=2)
    assert "narrow, positive: GET /queue" in findings.failures
    assert "foreign, positive: GET /messages/{message_id}/status" in findings.failures
    assert not any(": GET /health" in where for where in findings.failures)
