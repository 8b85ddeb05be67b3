"""Statistics of a running server: what is counted, which windows are possible, who may see them."""

from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from app import maintenance
from app.access.principals import ANONYMOUS
from app.access.scopes import AccessScope
from app.errors import InvalidRequest
from app.models.attempts import Completed, Failed
from app.models.usage import ModelUsage, Tokens
from app.statistics_manager import StatisticsManager
from app.text import rfc3339
from tests.contract.builders import chunk, claim
from tests.integration.conftest import Serve
from tests.integration.test_key_api import ask
from tests.integration.test_keys import issue
from tests.servers import LiveServer, until


async def run_two(server: LiveServer) -> None:
    """Complete a message and fail another."""
    for outcome in (Completed("Paris."), Failed("It broke.", "agent_error")):
        await server.client.post("/messages", json={"message": "Hello"})
        (claimed,) = await claim(server.runtime.services.store)
        await server.runtime.services.store.finish(claimed.lease, outcome)


async def test_statistics_count_what_happened(quiet: LiveServer) -> None:
    await run_two(quiet)
    await quiet.client.post("/messages", json={"message": "Hello", "priority": "high"})
    found = (await quiet.client.get("/stats")).json()
    counted = {state: count for state, count in found["messages"].items() if count}
    assert counted == {"queued": 1, "completed": 1, "failed": 1}
    wanted = {"accepted": 3, "started": 2, "completed": 1, "failed": 1, "ended": 2, "retried": 0}
    assert {name: found["counts"][name] for name in wanted} == wanted
    assert (found["error_rate"], found["errors"]) == (0.5, [{"code": "agent_error", "count": 1}])
    assert (found["wait"]["count"], found["run"]["count"], found["first_token"]["count"]) == (2, 1, 0)
    assert found["run"]["p50"] is not None
    assert found["queued_by_priority"] == {"high": 1, "normal": 0, "low": 0}
    assert found["server"]["waiting"] == {"high": 1, "normal": 0, "low": 0}
    assert found["server"]["slots_busy"] == 0
    today = f"{quiet.runtime.services.store.now():%Y-%m-%d}"
    since_midnight = (await quiet.client.get(f"/stats?since={today}")).json()
    assert since_midnight["since"][:10] == today
    others = (await quiet.client.get("/stats?agent=nobody")).json()
    assert (set(others["counts"].values()), others["error_rate"]) == ({0}, None)


async def test_statistics_add_up_the_tokens_of_the_tenant(quiet: LiveServer) -> None:
    empty = (await quiet.client.get("/stats")).json()["tokens"]
    assert (empty["calls"], empty["cost"], empty["cost_complete"]) == (0, "0", True)
    await quiet.client.post("/messages", json={"message": "Hello"})
    (claimed,) = await claim(quiet.runtime.services.store)
    used = ModelUsage("gpt-4", Tokens(calls=1, input_tokens=10, output_tokens=2, cost_nanos=5_000_000))
    await quiet.runtime.services.store.append(claimed.lease, [chunk(0)], [used])
    tokens = (await quiet.client.get("/stats?agent=chat")).json()["tokens"]
    assert (tokens["calls"], tokens["input_tokens"], tokens["output_tokens"], tokens["cost"]) == (1, 10, 2, "0.005")
    assert (await quiet.client.get("/stats?agent=nobody")).json()["tokens"]["calls"] == 0


async def test_a_series_of_usage_has_tokens_and_cost_by_agent(quiet: LiveServer) -> None:
    await quiet.client.post("/messages", json={"message": "Hello"})
    (claimed,) = await claim(quiet.runtime.services.store)
    used = Tokens(calls=1, input_tokens=10, output_tokens=2, cached_tokens=4, cost_nanos=5_000_000)
    await quiet.runtime.services.store.append(
        claimed.lease, [chunk(0)], [ModelUsage("gpt-4", used), ModelUsage("own", Tokens(1, 1, 1, unpriced_calls=1))]
    )
    (series,) = (await quiet.client.get("/stats/series?metric=usage&step=3600&group_by=agent")).json()["series"]
    point = series["points"][-1]
    assert (series["group"], point["count"], point["p50"]) == ("chat", 2, None)
    assert point["tokens"] == {
        "calls": 2,
        "input_tokens": 11,
        "output_tokens": 3,
        "cached_tokens": 4,
        "reasoning_tokens": 0,
        "cost": "0.005",
        "cost_complete": False,
    }
    (accepted,) = (await quiet.client.get("/stats/series?metric=accepted")).json()["series"]
    assert {point["tokens"] for point in accepted["points"]} == {None}


async def test_a_series_has_a_point_for_each_step(quiet: LiveServer) -> None:
    await run_two(quiet)

    async def series(query: str) -> list[dict[str, Any]]:
        return list((await quiet.client.get(f"/stats/series?{query}")).json()["series"])

    (accepted,) = await series("metric=accepted")
    assert (accepted["group"], len(accepted["points"])) == (None, 60)
    assert sum(point["count"] for point in accepted["points"]) == 2
    by_state = await series("metric=ended&step=3600&group_by=state")
    assert {each["group"]: each["points"][-1]["count"] for each in by_state} == {"completed": 1, "failed": 1}
    (failed,) = await series("metric=failed&step=300&group_by=code")
    assert failed["group"] == "agent_error"
    (waits,) = await series("metric=wait&step=86400&group_by=agent")
    assert (waits["group"], waits["points"][-1]["count"]) == ("chat", 2)
    assert waits["points"][-1]["p99"] is not None
    assert [each["group"] for each in await series("metric=started&group_by=tenant")] == ["default"]
    assert await series("metric=cancelled&group_by=priority") == []


async def test_wrong_queries_are_told_what_to_do(quiet: LiveServer) -> None:
    def since(**ago: float) -> str:
        return f"&since={rfc3339(quiet.runtime.services.store.now() - timedelta(**ago))}"

    for query, field, told in (
        ("/stats/series?metric=nonsense", "metric", "accepted"),
        ("/stats/series?metric=wait&step=61", "step", "60"),
        ("/stats/series?metric=wait&group_by=state", "group_by", "ended"),
        ("/stats/series?metric=wait&group_by=code", "group_by", "failed"),
        (f"/stats/series?metric=wait&step=60{since(hours=26)}", "step", "longer step"),
        (f"/stats/series?metric=wait&step=300{since(hours=49)}", "since", "step=3600"),
        (f"/stats/series?metric=wait&step=86400{since(days=91)}", "since", "STATS_RETENTION_DAYS"),
        (f"/stats?{since(days=91)}", "since", "STATS_RETENTION_DAYS"),
        (f"/stats?{since(seconds=-60)}", "since", "before `until`"),
        ("/stats?since=yesterday", "since", "RFC 3339"),
        ("/stats?until=9999-12-31T23:59:59Z", "until", "a day from now"),
        ("/stats/series?metric=wait&until=9999-12-31T23:59:59-23:59", "until", "a day from now"),
        (f"/stats/series?metric=wait{since(hours=-25).replace('since', 'until')}", "until", "a day from now"),
    ):
        response = await quiet.client.get(query)
        assert response.status_code == 422, query
        problem = response.json()
        named = [each["field"] for each in problem["errors"]] if "errors" in problem else [problem["field"]]
        assert named == [field], (query, problem)
        assert told in response.text, (query, problem)


async def test_an_overview_reads_a_limited_number_of_periods(quiet: LiveServer) -> None:
    store = quiet.runtime.services.store
    manager = StatisticsManager(store, retention_days=10**6)
    with pytest.raises(InvalidRequest, match=r"1,500 days before `until`"):
        await manager.overview(ANONYMOUS, since=store.now() - timedelta(days=1500), until=None, agent=None)
    await manager.overview(ANONYMOUS, since=store.now() - timedelta(days=1499), until=None, agent=None)


async def test_a_tenant_sees_its_own_statistics_and_an_end_user_none(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    reader = await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    other = await issue(server, AccessScope.READ, tenant="other")
    await ask(server, "POST", "/messages", reader, {"message": "Hello"})
    found = (await ask(server, "GET", "/stats", reader)).json()
    assert (found["counts"]["accepted"], found["server"]) == (1, None)
    assert (await ask(server, "GET", "/stats", other)).json()["counts"]["accepted"] == 0
    refused = await ask(server, "GET", "/stats/series?metric=accepted&group_by=tenant", reader)
    assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")
    token = (await ask(server, "POST", "/tokens", reader, {"subject": "user-1"})).json()["token"]
    for path in ("/stats", "/stats/series?metric=accepted"):
        refused = await ask(server, "GET", path, token)
        assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")


async def test_the_server_adds_changes_to_the_figures(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without this duty, each read would count all changes, and old ones would be lost."""
    monkeypatch.setattr(maintenance, "FOLD_SECONDS", 0.05)
    path = tmp_path / "folded.db"
    server = await serve(worker_concurrency=0, database_url=f"sqlite:///{path}")
    await run_two(server)
    query = "SELECT metric, value FROM figures WHERE step = 60 AND metric IN ('accepted', 'completed', 'failed')"
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:

        def stored() -> dict[Any, int]:
            sums: Counter[Any] = Counter()
            for metric, value in connection.execute(query):
                sums[metric] += int(str(value))
            return sums

        expected = {"accepted": 2, "completed": 1, "failed": 1}
        await until(lambda: stored() == expected, "all changes are in the figures")
    assert (await server.client.get("/stats")).json()["counts"]["accepted"] == 2
    assert await server.runtime.services.store.fold_figures(records_seconds=900) == 0
