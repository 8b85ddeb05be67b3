"""`make fuzz`: odd requests to every operation for callers with each scope. Settings: FUZZ_CASES, FUZZ_SEED."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from app.access.scopes import AccessScope
from app.config import Settings
from app.main import create_app
from tests.fuzzing import Caller, Findings, NativeApi, Scopes, Target, fuzz, scopes_of
from tests.fuzzing_chats import AgUiApi, ChatPagesApi, OpenAiApi
from tests.fuzzing_langgraph import LangGraphApi
from tests.fuzzing_streams import StreamsApi
from tests.fuzzing_tasks import A2aApi
from tests.fuzzing_tools import McpApi
from tests.graph_control import GraphControl
from tests.langgraph_clients import AGENTS
from tests.openai_stub import openai_stub_in_thread
from tests.servers import ServerProcess, cold_server_process

START_SECONDS = 60.0
EVERYTHING = frozenset(AccessScope)


def show(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def served(**settings: str) -> Iterator[ServerProcess]:
    """A server whose model is a stub."""
    with tempfile.TemporaryDirectory() as folder, openai_stub_in_thread() as stub:
        environment = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-stub", "MAX_QUEUE_SIZE": "1000000"}
        environment |= {**GraphControl(Path(folder)).environment, **settings}
        with cold_server_process(Path(folder), WORKER_CONCURRENCY="4", **environment) as server:
            end = time.monotonic() + START_SECONDS
            with httpx2.Client(timeout=5, trust_env=False) as client:
                while True:
                    assert time.monotonic() < end, server.output
                    try:
                        if client.get(f"{server.url}/health/ready").status_code == 200:
                            break
                    except httpx2.TransportError:
                        pass
                    time.sleep(0.1)
            yield server


def made_key(client: httpx2.Client, scopes: frozenset[AccessScope], tenant: str = "default") -> str:
    """The text of a new key."""
    response = client.post("/keys", json={"name": "fuzz", "scopes": sorted(scopes), "tenant": tenant})
    assert response.status_code == 201, response.text
    return str(response.json()["key"])


def callers_of(client: httpx2.Client) -> list[Caller]:
    """A caller for each scope, one with all of them, one of another tenant, and one without a key."""
    narrow = [Caller(scope.value, frozenset({scope}), made_key(client, frozenset({scope}))) for scope in AccessScope]
    return [
        *narrow,
        Caller("everything", EVERYTHING, made_key(client, EVERYTHING)),
        Caller("another tenant", EVERYTHING, made_key(client, EVERYTHING, "other"), is_foreign=True),
        Caller("no key", frozenset()),
    ]


def report(findings: Findings, seconds: float) -> int:
    """Print what was found. Return the exit code."""
    for where, failure in findings.failures.items():
        show(f"\n{where}\n{failure}")
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(findings.statuses.items()))
    show(f"\n{findings.sent} requests in {seconds:.0f} s, {len(findings.failures)} failures; {statuses}")
    return 1 if findings.failures else 0


def main() -> int:
    """Send at least FUZZ_CASES requests; 1 if any reply was wrong."""
    cases = int(os.environ.get("FUZZ_CASES", "10000"))
    seeded = int(os.environ.get("FUZZ_SEED") or time.time_ns() % 2**32)
    show(f"FUZZ_SEED={seeded} FUZZ_CASES={cases}")
    app = create_app(Settings(_env_file=None, database_url="memory://"))
    surface = {"AGENTS": AGENTS, "MAX_ATTEMPTS": "1", "KEEPALIVE_INTERVAL": "60"}
    native = fuzz_target(NativeApi(), {}, scopes_of(app), cases // 2, seeded)
    failed = native
    others: list[Target] = [OpenAiApi(app), ChatPagesApi(app), AgUiApi(app), McpApi(app), A2aApi(app), StreamsApi(app)]
    for target, share in ((LangGraphApi(app), 4), *((each, 8) for each in others)):
        failed |= fuzz_target(target, surface, scopes_of(app), cases // share, seeded)
    return failed


def fuzz_target(target: Target, settings: dict[str, str], needs: Scopes, cases: int, seeded: int) -> int:
    """Send requests to a server with these settings. Return the exit code."""
    show(f"\n{type(target).__name__}")
    began = time.monotonic()
    with served(**settings) as server, httpx2.Client(base_url=server.url, timeout=30, trust_env=False) as admin:
        admin.headers["X-API-Key"] = made_key(admin, EVERYTHING)
        callers = callers_of(admin)
        findings = Findings()
        examples = max(1, cases // (len(callers) * len(needs)))
        while findings.sent < cases:
            found = fuzz(admin, callers, needs, examples=examples, seeded=seeded + findings.sent, target=target)
            findings.sent += found.sent
            findings.failures |= found.failures
            for status, number in found.statuses.items():
                findings.statuses[status] = findings.statuses.get(status, 0) + number
        assert server.process.poll() is None, server.output
    return report(findings, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
