"""The hot statements keep their price when the queue, a thread or a log grows: plans and steps on a seeded backlog."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.models.attempts import Completed, Lease
from app.models.deliveries import DeliveryFilter
from app.models.erasures import ErasureKind, ErasureTarget, NewErasure
from app.models.events import NewEvent
from app.models.messages import Page
from app.models.threads import EVERY_THREAD, LATEST_FIRST
from app.store.parts import AcceptRules
from app.store.sqlite.connection import transaction
from tests.contract.builders import ALL, LEASE_SECONDS, TENANT, WORKER, new
from tests.unit.sqlite_backlogs import Seeded

HOT = {
    "find_ready": "messages_ready",
    "list_waiting_versions": "messages_ready",
    "move_version": "messages_ready",
    "count_ahead": "messages_waiting",
    "count_between": "messages_waiting",
    "count_after": "messages_waiting",
    "places_from": "messages_waiting",
    "find_ranks": "messages",
    "list_queued": "messages_waiting",
    "first_waiting": "messages_waiting",
    "find_expired": "messages_leased",
    "extend_leases": "messages",
    "find_due": "messages_delayed",
    "promote_due": "messages_queued_in_thread",
    "next_rank": "messages_of_flow",
    "last_rank": "messages_waiting",
    "rank_of_next": "messages_of_flow",
    "count_overtaking": "messages_waiting",
    "promote_next": "messages_queued_in_thread",
    "lift_thread": "messages_queued_in_thread",
    "settle_thread": "messages_queued_in_thread",
    "inherited_ahead": "messages_queued_in_thread",
    "put_back": "messages_queued_in_thread",
    "resume_message": "messages_queued_in_thread",
    "places_to": "messages_waiting",
    "find_places": "messages",
    "list_messages": "messages_of_tenant",
    "newest_messages": "messages_of_tenant",
    "list_failed": "messages_failed",
    "newest_failed": "messages_failed",
    "list_cancelled": "messages_cancelled",
    "newest_cancelled": "messages_cancelled",
    "list_of_subject": "messages_of_subject",
    "newest_of_subject": "messages_of_subject",
    "list_in_thread": "messages_in_thread",
    "newest_in_thread": "messages_in_thread",
    "newest_in_thread_before": "messages_in_thread",
    "number_in_thread": "messages_in_thread",
    "prune_threads": "threads_empty",
    "find_expired_threads": "threads_with_ttl",
    "throughput": "messages_ended",
    "find_expired_interrupts": "messages_interrupted",
    "find_key": "request_keys",
    "prune_keys": "request_keys_by_age",
    "find_alias": "aliases",
    "find_taken_alias": "aliases",
    "find_due_deliveries": "deliveries_due",
    "find_deliveries_of_message": "deliveries_of_message",
    "list_threads_by_updated_desc": "threads_by_activity",
    "list_threads_by_updated_asc": "threads_by_activity",
    "list_threads_by_created_desc": "threads_by_creation",
    "list_threads_by_created_asc": "threads_by_creation",
    "list_threads_of_subject_by_updated_desc": "threads_of_subject",
    "list_threads_of_subject_by_updated_asc": "threads_of_subject",
    "list_threads_of_status_by_updated_desc": "threads_by_status",
    "list_threads_of_status_by_updated_asc": "threads_by_status",
    "list_threads_of_ids": "threads",
    "count_threads": "threads",
    "count_threads_of_subject": "threads_of_subject",
    "count_threads_of_status": "threads_by_status",
    "count_threads_of_ids": "threads",
    "get_thread": "threads",
    "list_thread_messages": "messages_in_thread",
    "get_message": "messages",
    "get_messages": "messages",
    "find_dead": "messages",
    "find_log": "messages",
    "find_leased": "messages",
    "claim": "messages",
    "claim_first": "messages",
    "end_message": "messages",
    "end_leased": "messages",
    "log_bounds": "events",
    "last_event": "events",
    "read_events": "events",
    "attempt_start": "events",
    "prune_log": "events",
    "find_thread_metadata": "threads",
    "change_thread": "threads",
    "cancel_thread": "messages",
    "note_deleted": "messages_in_thread",
    "delete_thread_messages": "messages_in_thread",
    "hide_thread": "threads",
    "publish_thread": "threads",
    "abandon_draft": "threads",
    "abandon_old_drafts": "threads_hidden",
    "free_thread": "threads",
    "any_deleted": "deleted_messages",
    "prune_deleted_messages": "deleted_messages_by_age",
    "find_fence": "messages",
    "get_item": "items",
    "delete_item": "items",
    "refresh_item": "items",
    "list_namespaces": "items",
    "prune_items": "items_expiring",
    "list_thread_ids": "threads",
    "measure_threads": "messages_in_thread",
    "measure_thread": "messages_in_thread",
    "measure_messages": "messages_of_tenant",
    "measure_items": "items",
    "list_stored_tenants": "threads_by_creation",
}
"""The index, or the key of a table, by which each statement has to search."""

SORTED = {
    "find_prunable_logs": "messages_by_end",
    "prune_messages": "messages_by_end",
    "list_unfinished": "messages_one_running",
    "get_head": "messages_one_running",
    "find_head": "messages_one_running",
    "group_dead_letters": "messages_failed_by_kind",
    "list_attempts": "attempts_of_message",
    "list_deliveries": "deliveries_of_message",
    "find_deliveries": "deliveries_by_kind",
    "list_processing": "messages_leased",
    "list_threads_of_subject_by_created_desc": "threads_of_subject",
    "list_threads_of_subject_by_created_asc": "threads_of_subject",
    "list_threads_of_status_by_created_desc": "threads_by_status",
    "list_threads_of_status_by_created_asc": "threads_by_status",
    "search_items": "items",
    "search_filtered_items": "items",
}
"""These sort the few rows that their index gives, or the tenants."""

TABLES = "(messages|behind|kind|newest|threads|events|attempts|request_keys|deliveries|aliases|items|deleted_messages)"

SCANS_ITS_INDEX = {"find_expired", "list_processing"}
"""Walk an index from its beginning: to the limit, or of the few rows that it has."""


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    seeded = Seeded(tmp_path_factory.mktemp("plans") / "queue.db")
    seeded.seed()
    yield seeded
    seeded.connection.close()


@pytest.fixture(params=["without statistics", "analyzed"])
def plans(request: pytest.FixtureRequest, backlog: Seeded) -> Seeded:
    """An operator may run ANALYZE at any time."""
    if request.param == "analyzed":
        backlog.connection.execute("ANALYZE")
    return backlog


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Seeded]:
    seeded = Seeded(tmp_path / "queue.db")
    yield seeded
    seeded.connection.close()


def test_a_hot_statement_searches_by_its_index(plans: Seeded) -> None:
    wrong = {}
    for name, index in (HOT | SORTED).items():
        plan = [step for step in plans.plan(name) if re.match(rf"(SCAN|SEARCH) {TABLES}\b", step)]
        wanted = [
            step for step in plan if re.search(rf"\bINDEX {index}\b|SEARCH {index} .*(PRIMARY KEY|autoindex)", step)
        ]
        scans = [step for step in plan if step.startswith("SCAN")]
        if not wanted or (scans and name not in SCANS_ITS_INDEX):
            wrong[name] = plans.plan(name)
    assert wrong == {}


def test_a_claim_finds_messages_by_agent_and_version_in_the_index_alone(plans: Seeded) -> None:
    (step,) = plans.plan("find_ready")
    assert "COVERING INDEX messages_ready (agent=? AND agent_version=?)" in step


def test_a_hot_statement_sorts_nothing(plans: Seeded) -> None:
    assert [name for name in HOT if any("TEMP B-TREE" in step for step in plans.plan(name))] == []


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("find_prunable_logs", "messages_by_end (tenant=? AND log_pruned=? AND completed_at>? AND completed_at<?)"),
        ("prune_messages", "messages_by_end (tenant=? AND log_pruned=? AND completed_at>? AND completed_at<?)"),
        ("prune_threads", "threads_empty (tenant=? AND last_activity<?)"),
        ("find_expired_threads", "threads_with_ttl (<expr><?)"),
        ("find_expired_threads", "threads_by_activity (tenant=? AND last_activity<?)"),
    ],
)
def test_what_a_tenant_keeps_longer_is_not_walked(plans: Seeded, name: str, searched: str) -> None:
    assert [step for step in plans.plan(name) if searched in step], plans.plan(name)


OF_FIGURES = {
    "last_unfolded",
    "count_unfolded",
    "find_unfolded",
    "any_unfolded",
    "sum_figures",
    "sum_figures_of_all",
    "prune_figures",
    "transition_bounds",
    "read_transitions",
}


def test_figures_and_changes_are_found_by_their_keys(plans: Seeded) -> None:
    scans = {
        name: [step for step in plans.plan(name) if re.match(r"SCAN (transitions|figures)\b", step)]
        for name in OF_FIGURES
    }
    assert {name: steps for name, steps in scans.items() if steps} == {}


def test_old_changes_are_deleted_from_the_oldest_on(plans: Seeded) -> None:
    """The scan ends at the limit."""
    found = [step for step in plans.plan("prune_transitions") if re.match(r"(SCAN|SEARCH) transitions\b", step)]
    assert found.count("SCAN transitions") == 1
    assert all(step == "SCAN transitions" or step.startswith("SEARCH transitions") for step in found)


# Prices: each is taken in a small database and in a large one


def test_a_claim_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    for thread in ("t1", "t1", "t2", None):
        empty.operations.add([new(thread=thread, agent="a")], AcceptRules(ALL), None, {})
    small = empty.price(lambda: empty.claim(1))
    assert backlog.price(lambda: backlog.claim(1)) < 2 * small


def test_a_claim_costs_the_same_with_any_number_of_messages_that_wait_for_another_version(
    backlog: Seeded, empty: Seeded
) -> None:
    def claim_with_version(seeded: Seeded) -> object:
        return seeded.operations.claim(WORKER, ["a"], 1, LEASE_SECONDS, {"a": "v2"})

    empty.operations.add([new(agent="a")], AcceptRules(ALL), None, {})
    small = empty.price(lambda: claim_with_version(empty))
    with transaction(backlog.connection, "IMMEDIATE"):
        backlog.connection.execute("UPDATE messages SET agent_version = 'v1' WHERE readiness = 'ready' AND number % 2")
    assert backlog.price(lambda: claim_with_version(backlog)) < 2 * small
    with transaction(backlog.connection, "IMMEDIATE"):
        backlog.connection.execute("UPDATE messages SET agent_version = '' WHERE readiness = 'ready'")


def test_an_empty_claim_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    def claim_for_nobody(seeded: Seeded) -> object:
        return seeded.operations.claim(WORKER, ["nobody"], 10, LEASE_SECONDS)

    assert backlog.price(lambda: claim_for_nobody(backlog)) <= empty.price(lambda: claim_for_nobody(empty)) + 20


def test_an_add_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    for thread in ("t1", "t1", None):
        empty.operations.add([new(thread=thread)], AcceptRules(ALL), None, {})
    small = empty.price(lambda: empty.operations.add([new(thread="t1")], AcceptRules(ALL), None, {}))
    assert backlog.price(lambda: backlog.operations.add([new(thread="t1")], AcceptRules(ALL), None, {})) < 2 * small
    assert backlog.price(lambda: backlog.operations.add([new()], AcceptRules(ALL), None, {})) < 2 * small


def test_a_message_of_a_long_batch_costs_as_much_as_one_of_a_short_one(empty: Seeded) -> None:
    """Were its position counted for each of them, a long batch would cost its length squared."""

    def price(length: int) -> float:
        return (
            empty.price(lambda: empty.operations.add([new() for _ in range(length)], AcceptRules(ALL), None, {}))
            / length
        )

    assert price(1_000) < 1.2 * price(10)


def test_a_finish_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    for _ in range(3):
        empty.operations.add([new(thread="t1", agent="a")], AcceptRules(ALL), None, {})

    def run(seeded: Seeded) -> None:
        (lease,) = seeded.claim(1)
        seeded.operations.finish(lease, Completed("done"))

    assert backlog.price(lambda: run(backlog)) < 2 * empty.price(lambda: run(empty))


def queue_above_a_limit(seeded: Seeded, count: int) -> Lease:
    """Queue messages of a tenant that may run one. Return its lease, with all other messages held back."""
    limited = "INSERT INTO tenants VALUES ('big', 1, '{\"running\": 1}', '{}', '{}', NULL, NULL, 1, 0, 0)"
    with transaction(seeded.connection, "IMMEDIATE"):
        seeded.connection.execute(limited)
        seeded.operations.add([new(tenant="big", agent="a") for _ in range(count)], AcceptRules(ALL), None, {})
    (lease,) = seeded.claim(1)
    for _ in range(count // 100 + 1):
        assert seeded.claim(1) == []
    return lease


def test_a_claim_of_others_costs_the_same_beside_any_number_of_messages_above_a_limit(empty: Seeded) -> None:
    def price() -> int:
        empty.operations.add([new(agent="a")], AcceptRules(ALL), None, {})
        return empty.price(lambda: empty.claim(1))

    alone = price()
    empty.claim(1)
    queue_above_a_limit(empty, 3_000)
    assert price() < 1.2 * alone


def test_the_next_claim_of_a_tenant_at_its_limit_costs_the_same_with_any_number_that_wait(
    empty: Seeded, tmp_path: Path
) -> None:
    def price(seeded: Seeded, count: int) -> int:
        lease = queue_above_a_limit(seeded, count)

        def go_on() -> None:
            seeded.operations.finish(lease, Completed("done"))
            seeded.operations.release_freed()
            assert len(seeded.claim(2)) == 1

        return seeded.price(go_on)

    assert price(Seeded(tmp_path / "large.db"), 3_000) < 1.2 * price(empty, 30)


def price_of_part(seeded: Seeded, part: str, ids: Sequence[str]) -> int:
    """The price of one part of the erasure of a tenant, with its beginning."""

    def work() -> None:
        erasure = seeded.operations.begin_erasure(NewErasure("e", ErasureTarget(TENANT, ErasureKind.TENANT), "local"))
        assert getattr(seeded.operations, part)(erasure, ids) == len(ids)

    return seeded.price(work)


def test_a_part_of_an_erasure_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    ended = "SELECT id FROM messages WHERE state = 'completed' ORDER BY number DESC LIMIT 10"
    waiting = "SELECT id FROM messages WHERE state = 'queued' ORDER BY number DESC LIMIT 10"
    for number in range(60):
        empty.operations.add(
            [new(thread=f"t{number % 7}" if number % 2 else None, agent="a")], AcceptRules(ALL), None, {}
        )
    for lease in empty.claim(20):
        empty.operations.append(lease, [NewEvent.chunk("content", "x", 0)] * 3)
        empty.operations.finish(lease, Completed("done"))
    for chosen, part in ((waiting, "cancel_messages"), (ended, "erase_messages")):
        small, large = (
            price_of_part(each, part, [row[0] for row in each.connection.execute(chosen)]) for each in (empty, backlog)
        )
        assert large < 2 * small, part


def test_a_message_with_a_long_log_is_erased_as_cheaply_as_another_one(empty: Seeded) -> None:
    """Its events are counted by two of them. They are deleted later, in parts."""
    leases: list[Lease] = []
    for length in (1, 3_000):
        empty.operations.add([new(agent="a")], AcceptRules(ALL), None, {})
        (lease,) = empty.claim(1)
        empty.operations.append(lease, [NewEvent.chunk("content", "x", 0)] * length)
        empty.operations.finish(lease, Completed("done"))
        leases.append(lease)
    short, long = (price_of_part(empty, "erase_messages", [each.message_id]) for each in leases)
    assert long < 1.2 * short


def test_large_events_are_deleted_in_smaller_parts(empty: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of them would take longer than others should wait."""
    monkeypatch.setattr("app.store.parts.PART_SECONDS", 0.0)
    empty.operations.add([new(agent="a")], AcceptRules(ALL), None, {})
    (lease,) = empty.claim(1)
    empty.operations.append(lease, [NewEvent.chunk("content", "x", 0)] * 249)
    empty.operations.finish(lease, Completed("done"))
    empty.connection.execute("INSERT INTO dropped_logs SELECT number FROM messages")
    left = []
    while empty.operations.delete_dropped_events(2_000):
        left.append(empty.connection.execute("SELECT count(*) FROM events").get)
    assert left == [151, 51]
    assert empty.connection.execute("SELECT count(*) FROM dropped_logs").get == 0


def test_a_promote_that_finds_nothing_costs_the_same_with_any_backlog(backlog: Seeded, empty: Seeded) -> None:
    assert backlog.price(backlog.operations.promote) <= empty.price(empty.operations.promote) + 20


def test_a_page_of_threads_costs_the_same_wherever_it_is(backlog: Seeded) -> None:
    def page(cursor: tuple[int, str] | None) -> int:
        return backlog.price(
            lambda: backlog.operations.thread_part(TENANT, EVERY_THREAD, LATEST_FIRST, Page(10, cursor))
        )

    middle = backlog.operations.thread(TENANT, "t101")
    assert page((round(middle.last_activity.timestamp() * 1000), "t101")) < 2 * page(None)


DELIVERIES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :count - 1)
INSERT INTO deliveries (id, tenant, message_id, url, event, data, state, created_at)
SELECT 'd' || i, 'default', 'm', 'https://example.com/', iif(i % 2, 'failed', 'completed'), '{}', 'delivered', i FROM n
"""


@pytest.mark.parametrize(
    "kind", [{}, {"states": ["pending"]}, {"events": ["failed"]}, {"events": ["cancelled"]}], ids=str
)
def test_a_page_of_deliveries_costs_the_same_with_any_number_wherever_it_is(
    empty: Seeded, kind: dict[str, list[str]]
) -> None:
    chosen = DeliveryFilter(**{name: frozenset(values) for name, values in kind.items()})  # type: ignore[arg-type]  # texts of the enumerations

    def page(cursor: tuple[int, str] | None) -> int:
        return empty.price(lambda: empty.operations.delivery_records(TENANT, chosen, Page(10, cursor)))

    empty.connection.execute(DELIVERIES, {"count": 100})
    few = page(None)
    empty.connection.execute("DELETE FROM deliveries")
    empty.connection.execute(DELIVERIES, {"count": 20_000})
    assert page(None) < 1.2 * few
    assert page((10_000, "d")) < 1.2 * few


ALIASES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
INSERT INTO aliases (tenant, alias, message_id, first_event) SELECT 'default', 'a' || i, 'm' || i, 0 FROM n
"""


def test_adding_and_deleting_an_alias_costs_the_same_with_any_number(empty: Seeded) -> None:
    def add_and_delete() -> None:
        message = new(aliases=("one", "two"))
        empty.operations.add([message], AcceptRules(ALL), None, {})
        empty.connection.execute("DELETE FROM messages WHERE id = ?", (message.id,))

    few = empty.price(add_and_delete)
    empty.connection.execute(ALIASES)
    assert empty.price(add_and_delete) < 1.2 * few


def running_with_log(seeded: Seeded, length: int) -> Lease:
    """A message that is being answered, with so many chunks in its log."""
    with transaction(seeded.connection, "IMMEDIATE"):
        seeded.operations.add([new(agent="a")], AcceptRules(ALL), None, {})
        (lease,) = seeded.claim(1)
        seeded.operations.append(lease, [NewEvent.chunk("content", "x", index) for index in range(length)])
    return lease


def test_reading_news_costs_the_same_in_any_log(empty: Seeded) -> None:
    """A reader reads after each hint: were the whole log looked at, a long answer would cost its length squared."""

    def price(length: int) -> int:
        lease = running_with_log(empty, length)
        return empty.price(lambda: empty.operations.read_log(TENANT, lease.message_id, length, 100))

    assert price(5_000) < 2 * price(10)


def test_appending_costs_the_same_in_any_log(empty: Seeded) -> None:
    def price(length: int) -> int:
        lease = running_with_log(empty, length)
        return empty.price(lambda: empty.operations.append(lease, [NewEvent.chunk("content", "x", length)]))

    assert price(5_000) < 2 * price(10)


ITEMS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :count - 1)
INSERT INTO items (tenant, namespace, key, created_at, updated_at, value)
SELECT 'default', char(1) || i % 50 || char(1), i, i, i, '{}' FROM n
"""


def test_namespaces_are_listed_without_walking_their_items(empty: Seeded) -> None:
    values = {"tenant": TENANT, "begin": "\x01", "end": "\x02", "now": 0, "limit": 100}

    def listed() -> int:
        return empty.price(lambda: empty.operations.rows("list_namespaces", **values))

    empty.connection.execute(ITEMS, {"count": 50})
    few = listed()
    empty.connection.execute("DELETE FROM items")
    empty.connection.execute(ITEMS, {"count": 10_000})
    assert listed() < 1.2 * few
