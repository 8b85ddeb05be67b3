"""The hot statements of the PostgreSQL store keep their price when the queue, a thread or a log grows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.models.attempts import Failed, Interrupted, Released
from app.models.events import NewEvent
from app.store.parts import AcceptRules
from app.store.postgres.accept import Add
from app.store.postgres.attempts import Finish
from app.store.postgres.connection import SETTINGS
from app.store.postgres.events import Append
from tests.contract.builders import DONE, WORKER, new
from tests.postgres_server import database_of
from tests.unit.postgres_backlogs import DELIVERIES, ENDED, MESSAGES, NOW, QUERIES, SEED, Seeded

HOT = {
    "claim": {"messages_ready", "messages_pkey", "tenants_pkey"},
    "find_candidates": {"messages_ready", "tenants_pkey"},
    "claim_candidates": {"messages_pkey"},
    "find_room": {"messages_one_running", "tenants_pkey"},
    "hold_back": {"messages_pkey"},
    "release_held": {"messages_held", "messages_pkey"},
    "list_holding_tenants": {"messages_held"},
    "list_waiting_versions": {"messages_ready"},
    "move_version": {"messages_ready", "messages_pkey"},
    "count_ahead": {"messages_waiting"},
    "count_between": {"messages_waiting"},
    "count_after": {"messages_waiting"},
    "places_from": {"messages_waiting"},
    "list_queued": {"messages_waiting"},
    "first_waiting": {"messages_waiting"},
    "list_processing": {"messages_leased"},
    "accept_state": {"messages_leased", "tallies_pkey", "erasures_running", "limits_pkey"},
    "count_queued": {"messages_leased", "tallies_pkey"},
    "find_asking_threads": {"threads_pkey"},
    "find_expired": {"messages_leased"},
    "lock_expired": {"messages_id_key", "tenants_pkey"},
    "beat": {"messages_id_key", "messages_pkey"},
    "find_due": {"messages_delayed"},
    "promote_due": {"messages_pkey", "messages_queued_in_thread"},
    "next_ranks": {"claimed_ranks_pkey", "messages_of_flow", "tenants_pkey"},
    "last_ranks": {"messages_waiting"},
    "rank_of_next": {"claimed_ranks_pkey", "messages_of_flow"},
    "count_overtaking": {"messages_waiting"},
    "leave_flow": {"messages_pkey"},
    "promote_next": {"messages_queued_in_thread", "messages_pkey"},
    "lift_threads": {"messages_queued_in_thread"},
    "settle_thread": {"messages_queued_in_thread", "messages_pkey"},
    "inherited_ahead": {"messages_queued_in_thread"},
    "put_back_messages": {"messages_pkey", "messages_queued_in_thread"},
    "end_messages": {"messages_pkey"},
    "note_attempts": {"messages_pkey"},
    "interrupt_messages": {"messages_pkey"},
    "resume_message": {"messages_pkey", "messages_queued_in_thread"},
    "find_unanswered": {"messages_interrupted"},
    "lock_unanswered": {"messages_id_key", "tenants_pkey"},
    "requeue_messages": {"messages_pkey"},
    "renumber_attempts": {"attempts_pkey"},
    "delete_dropped_events": {"dropped_logs_pkey", "events_pkey"},
    "delete_messages": {"messages_pkey"},
    "lock_threads": {"messages_id_key", "threads_pkey"},
    "lock_leased": {"messages_id_key", "tenants_pkey"},
    "share_leased": {"messages_id_key"},
    "lock_message": {"messages_id_key", "tenants_pkey"},
    "lock_messages": {"messages_id_key", "tenants_pkey"},
    "lock_unfinished": {
        "messages_pkey",
        "tenants_pkey",
        "messages_one_running",
        "messages_interrupted_in_thread",
        "messages_queued_in_thread",
    },
    "find_ranks": {"messages_pkey"},
    "enter_keys": set(),
    "find_keys": {"request_keys_pkey"},
    "keep_receipts": {"request_keys_pkey"},
    "drop_keys": {"request_keys_pkey"},
    "find_ended": {"messages_id_key"},
    "find_alias": {"aliases_pkey"},
    "find_taken_aliases": {"aliases_pkey", "messages_id_key"},
    "enter_aliases": {"messages_id_key"},
    "add_next_events": {"events_pkey"},
    "find_logs": {"messages_id_key", "events_pkey", "events_attempts"},
    "get_message": {"messages_id_key"},
    "get_messages": {"messages_id_key"},
    "get_head": {
        "messages_pkey",
        "messages_one_running",
        "messages_interrupted_in_thread",
        "messages_queued_in_thread",
    },
    "list_messages": {"messages_of_tenant"},
    "newest_messages": {"messages_of_tenant"},
    "list_failed": {"messages_failed"},
    "newest_failed": {"messages_failed"},
    "list_cancelled": {"messages_cancelled"},
    "newest_cancelled": {"messages_cancelled"},
    "list_of_subject": {"messages_of_subject"},
    "newest_of_subject": {"messages_of_subject"},
    "list_in_thread": {"messages_in_thread"},
    "newest_in_thread": {"messages_in_thread"},
    "newest_in_thread_before": {"messages_in_thread", "messages_of_tenant"},
    "number_in_thread": {"messages_in_thread"},
    "list_unfinished_messages": {
        "messages_pkey",
        "messages_waiting",
        "messages_delayed",
        "messages_leased",
        "messages_interrupted",
    },
    "find_places": {"messages_pkey"},
    "places_to": {"messages_waiting"},
    "list_attempts": {"messages_id_key", "attempts_pkey"},
    "group_dead_letters": {"messages_failed_by_kind"},
    "throughput": {"messages_ended", "messages_leased"},
    "claim_deliveries": {"deliveries_due", "deliveries_pkey"},
    "settle_delivery": {"deliveries_due"},
    "list_deliveries": {"deliveries_of_message"},
    "find_deliveries": {"deliveries_by_kind", "deliveries_pkey"},
    "find_deliveries_of_message": {"deliveries_of_message"},
    "replay_delivery": {"deliveries_pkey"},
    "find_log": {"messages_id_key"},
    "log_bounds": {"events_pkey", "messages_id_key"},
    "read_events": {"events_pkey", "messages_id_key"},
    "list_threads_by_updated_desc": {"threads_by_activity", "messages_one_running", "threads_pkey"},
    "list_threads_by_updated_asc": {"threads_by_activity", "messages_one_running", "threads_pkey"},
    "list_threads_by_created_desc": {"threads_by_creation", "messages_one_running"},
    "list_threads_by_created_asc": {"threads_by_creation", "messages_one_running"},
    "list_threads_of_subject_by_updated_desc": {"threads_of_subject", "messages_one_running", "threads_pkey"},
    "list_threads_of_subject_by_updated_asc": {"threads_of_subject", "messages_one_running", "threads_pkey"},
    "list_threads_of_subject_by_created_desc": {"threads_of_subject", "messages_one_running"},
    "list_threads_of_subject_by_created_asc": {"threads_of_subject", "messages_one_running"},
    "list_threads_of_status_by_updated_desc": {"threads_by_status", "messages_one_running", "threads_pkey"},
    "list_threads_of_status_by_updated_asc": {"threads_by_status", "messages_one_running", "threads_pkey"},
    "list_threads_of_ids": {"threads_pkey", "messages_one_running"},
    "count_threads": {"threads_pkey"},
    "count_threads_of_subject": {"threads_of_subject"},
    "count_threads_of_status": {"threads_by_status"},
    "count_threads_of_ids": {"threads_pkey"},
    "get_thread": {"threads_pkey", "messages_one_running"},
    "list_thread_messages": {"messages_in_thread"},
    "find_prunable_logs": {"messages_by_end", "tallies_pkey", "tenants_pkey"},
    "prune_logs": {"events_pkey"},
    "find_prunable_messages": {"messages_by_end", "tallies_pkey", "tenants_pkey"},
    "prune_threads": {"threads_empty", "threads_pkey", "tenants_pkey"},
    "find_expired_threads": {"threads_by_activity", "threads_pkey", "threads_with_ttl"},
    "lock_expired_thread": {"threads_pkey"},
    "lock_visible_thread": {"threads_pkey"},
    "find_head": {
        "messages_pkey",
        "messages_one_running",
        "messages_interrupted_in_thread",
        "messages_queued_in_thread",
    },
    "change_thread": {"threads_pkey"},
    "lock_thread_messages": {"messages_in_thread"},
    "cancel_thread": {"messages_pkey"},
    "note_deleted": {"messages_in_thread"},
    "hide_threads": {"threads_pkey"},
    "lock_visible_threads": {"threads_pkey"},
    "find_threads_in_use": {"messages_in_thread"},
    "count_parts": {"events_pkey", "attempts_pkey", "deliveries_of_message", "aliases_of_message"},
    "abandon_old_drafts": {"threads_hidden", "threads_pkey"},
    "list_dropped_memories": {"dropped_memories_pkey", "messages_id_key", "threads_pkey"},
    "share_fence": {"messages_id_key"},
    "get_item": {"items_pkey"},
    "delete_items": {"items_pkey"},
    "refresh_items": {"items_pkey"},
    "prune_items": {"items_expiring", "items_pkey"},
    "search_items": {"items_pkey"},
    "search_filtered_items": {"items_pkey"},
    "list_namespaces": {"items_pkey"},
    "list_thread_ids": {"threads_pkey"},
    "measure_threads": {"messages_in_thread", "events_pkey"},
    "measure_thread": {"messages_in_thread", "events_pkey"},
    "measure_messages": {"messages_of_tenant", "events_pkey"},
    "measure_items": {"items_pkey"},
}
"""The indexes that each statement has to search by."""


@pytest.fixture(scope="module", params=["without statistics", "analyzed"])
def backlog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """Messages of every state: queued, most behind others of their threads, delayed, running, ended."""
    seeded = Seeded(database_of(tmp_path_factory.mktemp("plans")))
    for table in ("messages", "threads", "events", "tallies", "levels"):
        seeded.connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    seeded.connection.execute("SET statement_timeout = 0; SET enable_hashjoin = on")
    seeded.connection.execute(SEED)
    for lease in seeded.claim(150):
        seeded.logging.append([Append(lease, [NewEvent.chunk("content", "x", 0)] * 3)])
        seeded.finishing.finish([Finish(lease, DONE)])
    held = seeded.claim(450)
    seeded.finishing.finish([Finish(lease, Released("later", delay=3_600)) for lease in held[:50]])
    seeded.finishing.finish([Finish(lease, Interrupted("[]", ttl_seconds=3_600)) for lease in held[50:100]])
    seeded.finishing.finish([Finish(lease, Failed("It broke.", "agent_error")) for lease in held[100:150]])
    seeded.connection.execute(ENDED)
    if request.param == "analyzed":
        seeded.connection.execute("VACUUM ANALYZE")
        seeded.analyzed = True
    seeded.connection.execute(SETTINGS)
    yield seeded
    seeded.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Seeded]:
    seeded = Seeded(database_of(tmp_path))
    yield seeded
    seeded.close()


OURS = {"messages", "threads", "events", "aliases", "items"}
BY_PREDICATE = {
    "messages_ready",
    "messages_leased",
    "messages_delayed",
    "messages_held",
    "messages_one_running",
    "messages_interrupted",
    "messages_ended",
    "threads_empty",
    "tallies_pkey",
    "claimed_ranks_pkey",
    "erasures_running",
    "dropped_logs_pkey",
    "dropped_memories_pkey",
}
"""Indexes that hold only what is looked for, or little, so that they may be walked from their beginning."""

NEED_STATISTICS = {
    "find_expired_threads",
    "count_threads_of_status",
    *(f"list_threads{of}_by_created_{way}" for of in ("", "_of_subject") for way in ("asc", "desc")),
}
"""Without statistics, the planner expects one thread of a tenant, and sorts it."""

OF_RUNNING = {"list_processing", "accept_state", "count_queued", "list_unfinished_messages", "throughput"}
"""Both `messages_leased` and `messages_one_running` have each running message, and nothing else."""

IN_CLAIM_ORDER = {"list_queued", "list_unfinished_messages"}
"""Walks the queue from its head, over the messages of other tenants; or all of it, when it is short."""


def test_a_hot_statement_searches_by_its_indexes(backlog: Seeded) -> None:
    wrong = {}
    for name, indexes in HOT.items():
        if name in NEED_STATISTICS and not backlog.analyzed:
            continue
        plan = backlog.plan(name)
        used = {node["Index Name"] for node in plan if "Index Name" in node}
        walked = {
            node.get("Index Name") or node["Relation Name"]
            for node in plan
            if (node["Node Type"] == "Seq Scan" and node["Relation Name"] in OURS)
            or (node["Node Type"].startswith("Index") and not is_bounded(node) and name not in IN_CLAIM_ORDER)
        }
        if name in OF_RUNNING and "messages_one_running" in used:
            used = used - {"messages_one_running"} | {"messages_leased"}
        if used != indexes or walked:
            wrong[name] = (used, walked)
    assert wrong == {}


def is_bounded(node: dict[str, Any]) -> bool:
    return "Index Cond" in node or node["Index Name"] in BY_PREDICATE


def test_a_hot_statement_asks_nothing_anew_for_each_row(backlog: Seeded) -> None:
    """Whatever index the planner chooses: a walk along a thread inside of a walk along a thread takes seconds."""
    wrong = {}
    for name in HOT:
        conditions = [
            text
            for node in backlog.plan(name)
            if node.get("Relation Name") == "messages"
            for key in ("Filter", "Index Cond", "Recheck Cond")
            if "SubPlan" in (text := str(node.get(key, "")))
        ]
        if conditions:
            wrong[name] = conditions
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "index", "column"),
    [
        ("find_prunable_logs", "messages_by_end", "completed_at"),
        ("find_prunable_messages", "messages_by_end", "completed_at"),
        ("prune_threads", "threads_empty", "last_activity"),
        ("find_expired_threads", "threads_by_activity", "last_activity"),
    ],
)
def test_what_a_tenant_keeps_longer_is_not_walked(backlog: Seeded, name: str, index: str, column: str) -> None:
    if name in NEED_STATISTICS and not backlog.analyzed:
        return
    conditions = [str(node.get("Index Cond")) for node in backlog.plan(name) if node.get("Index Name") == index]
    assert [each for each in conditions if f"({column} <" in each and "tenant = " in each], conditions


OF_FIGURES = {
    "any_unfolded": {"transitions_pkey"},
    "last_unfolded": {"transitions_pkey"},
    "count_unfolded": {"transitions_pkey"},
    "find_unfolded": {"transitions_pkey"},
    "prune_transitions": {"transitions_pkey"},
    "transition_bounds": {"transitions_pkey"},
    "read_transitions": {"transitions_pkey"},
    "sum_figures": {"figures_pkey", "figures_by_age"},  # either is bounded by the window
    "sum_figures_of_all": {"figures_pkey", "figures_by_age", "tallies_pkey"},
    "prune_figures": {"figures_by_age"},
}


def test_figures_and_changes_are_found_by_their_keys(backlog: Seeded) -> None:
    wrong = {}
    for name, indexes in OF_FIGURES.items():
        plan = backlog.plan(name)
        used = {node["Index Name"] for node in plan if "Index Name" in node}
        scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"} & {
            "transitions",
            "figures",
        }
        if not used <= indexes or not used & {"transitions_pkey", "figures_pkey", "figures_by_age"} or scanned:
            wrong[name] = (used, scanned)
    assert wrong == {}


# Prices: each is taken in a small database and in a large one


@pytest.mark.parametrize("place", ["0-0", "newest"])
def test_a_page_of_changes_costs_the_same_wherever_it_is(backlog: Seeded, place: str) -> None:
    row = backlog.connection.execute(QUERIES["transition_bounds"]).fetchone()
    assert row is not None
    log, _, _, transaction, number, _ = row
    values = {"log": log, "transaction": transaction, "number": number, "tenant": None, "limit": 10}
    if place != "newest":
        values |= {"transaction": 0, "number": 0}
    backlog.price("read_transitions", **values)
    price = backlog.price("read_transitions", **values)
    assert price < 60


def test_tenants_are_found_without_a_walk_along_their_rows(backlog: Seeded) -> None:
    values = {"after": "", "limit": 100}
    backlog.price("list_stored_tenants", **values)
    assert backlog.price("list_stored_tenants", **values) < 60


CLAIM = {
    "agents": ["a"],
    "wanted": [""],
    "own": [""],
    "limit": 1,
    "worker_id": WORKER,
    "lease_milliseconds": 1,
    "now": NOW,
    "running": 0,
}


def test_a_deletion_costs_the_same_with_any_number_of_aliases(empty: Seeded) -> None:
    empty.accepting.add([Add([new()], AcceptRules(100))])

    def price() -> int:
        row = empty.connection.execute("SELECT array_agg(number) FROM messages").fetchone()
        assert row is not None
        return empty.price("delete_messages", numbers=row[0])

    few = price()
    empty.connection.execute(
        "INSERT INTO aliases SELECT 'default', 'a' || i, 'm' || i, 0 FROM generate_series(1, 10000) AS i"
    )
    assert price() < few + 20


def test_a_claim_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    empty.accepting.add([Add([new(thread=thread, agent="a")], AcceptRules(100)) for thread in ("t1", "t1", "t2", None)])
    for seeded in (backlog, empty):
        seeded.price("claim", **CLAIM)  # what others have claimed leaves the index with the first look
    assert backlog.price("claim", **CLAIM) < 2 * empty.price("claim", **CLAIM)


@pytest.mark.parametrize("nothing", [("find_expired", {}), ("find_due", {}), ("claim", {"agents": ["nobody"]})])
def test_looking_for_what_is_not_there_costs_next_to_nothing(
    backlog: Seeded, nothing: tuple[str, dict[str, Any]]
) -> None:
    name, values = nothing
    given = {**CLAIM, "now": 0, "limit": 100, **values}
    backlog.price(name, **given)
    assert backlog.price(name, **given) < 20


@pytest.mark.parametrize(
    ("states", "events"),
    [
        (["pending", "delivered", "failed"], ["completed", "failed"]),
        (["failed"], ["failed"]),
        (["pending"], ["completed"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("created_at", [2**62, NOW + 5_000])
def test_a_page_of_deliveries_costs_the_same_with_any_number(
    backlog: Seeded, empty: Seeded, states: list[str], events: list[str], created_at: int
) -> None:
    def price(seeded: Seeded) -> int:
        kinds = {"states": json.dumps(states), "events": json.dumps(events)}
        return seeded.price("find_deliveries", tenant="default", created_at=created_at, id="", limit=10, **kinds)

    empty.connection.execute(f"{DELIVERIES} LIMIT 100")
    assert price(backlog) < 3 * price(empty)


THREAD_CALLS: dict[str, dict[str, Any]] = {
    "promote_next": {"tenants": ["default"], "threads": ["{}"], "ended": [139], "now": NOW},
    "lift_threads": {
        "tenants": ["default"],
        "threads": ["{}"],
        "ranks": [10**15 + 1_000 * MESSAGES],
        "firsts": [500],
        "limit": 1_000,
    },
    "inherited_ahead": {"tenant": "default", "thread_id": "{}", "thread_number": 500},
    "get_thread": {"tenant": "default", "thread_id": "{}"},
}


@pytest.mark.parametrize("name", THREAD_CALLS)
def test_the_history_of_a_thread_makes_nothing_dearer(backlog: Seeded, name: str) -> None:
    """Fill two threads: in `t11`, 139 messages have ended and 11 wait; in `t111`, one runs and the others wait."""

    def price(thread: str) -> int:
        values = json.loads(json.dumps(THREAD_CALLS[name]).replace("{}", thread))
        backlog.price(name, **values)
        return backlog.price(name, **values)

    assert price("t11") < 1.5 * price("t111") + 5


def test_news_of_a_log_cost_the_same_in_any_log(empty: Seeded) -> None:
    """Were the whole log looked at, a long answer would cost its length squared."""

    def prices(length: int) -> list[int]:
        empty.accepting.add([Add([new(agent="a")], AcceptRules(100))])
        (lease,) = empty.claim(1)
        empty.logging.append([Append(lease, [NewEvent.chunk("content", "x", index) for index in range(length)])])
        reading = empty.price("read_events", id=lease.message_id, after=length, limit=100)
        bounds = empty.price("log_bounds", id=lease.message_id)
        return [reading, bounds, empty.price("find_logs", ids=[lease.message_id])]

    for short, long in zip(prices(10), prices(5_000), strict=True):
        assert long < 2 * short + 5


def test_namespaces_are_listed_without_walking_their_items(backlog: Seeded) -> None:
    """There are 100, with 100 items each."""
    pages = backlog.price("list_namespaces", tenant="default", begin="\x01", end="\x02", now=NOW, limit=500)
    assert pages < 100 * 6
