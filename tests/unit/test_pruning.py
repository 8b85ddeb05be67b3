"""Pruning: the checkpoints that are deleted when a turn begins."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.checkpoints.known_lists import StoredLists
from app.checkpoints.pruning import MAX_PRUNED, Pruning, StoredCheckpoint, begins_turn, prune, rows_until, without_rows


def row(
    number: int, run_id: str | None, namespace: str = "", parent: int | None = None, lists: StoredLists | None = None
) -> StoredCheckpoint:
    """A checkpoint whose id is its number, behind the one before it."""
    before = number - 1 if parent is None else parent
    parent_id = f"{before:03}" if before else None
    return StoredCheckpoint(namespace, f"{number:03}", parent_id, run_id, has_deltas=False, lists=lists)


def turns(number: int, steps: int = 3) -> list[StoredCheckpoint]:
    return [row(turn * steps + step + 1, f"m{turn}") for turn in range(number) for step in range(steps)]


def pruned(rows: Sequence[StoredCheckpoint], run_id: str, kept: int, parent_id: str | None = None) -> Pruning:
    newest = max(each.parent_id or "" for each in rows if each.run_id == run_id)
    return prune(rows, run_id=run_id, parent_id=parent_id or newest, turns=kept)


def left(rows: Sequence[StoredCheckpoint], pruning: Pruning) -> list[str]:
    return [each.id for each in rows if each not in pruning.gone]


def test_the_last_checkpoint_of_each_kept_turn_stays_and_all_of_the_present_one() -> None:
    rows = turns(5)
    found = pruned(rows, "m4", 2)
    assert left(rows, found) == ["009", "012", "013", "014", "015"]
    assert found.parents == {("", "009"): None, ("", "012"): "009"}


def test_pruning_again_changes_nothing() -> None:
    rows = turns(5)
    first = pruned(rows, "m4", 2)
    again = [each._replace(parent_id=first.parents.get(each.place, each.parent_id)) for each in rows]
    assert pruned([each for each in again if each not in first.gone and each.place], "m4", 2) == Pruning(gone=[])


def test_updates_outside_of_runs_are_turns_of_their_own() -> None:
    rows = [*turns(2), row(7, None), row(8, None), row(9, "m9")]
    assert left(rows, pruned(rows, "m9", 3)) == ["006", "007", "008", "009"]


def test_a_turn_that_was_begun_again_counts_by_its_newest_checkpoint() -> None:
    rows = [row(1, "failed"), row(2, "other"), row(3, "failed"), row(4, "new")]
    assert left(rows, pruned(rows, "new", 1)) == ["003", "004"]


def test_the_checkpoint_that_a_turn_follows_stays() -> None:
    """The turn continues an earlier state of the conversation."""
    rows = [*turns(5), row(16, "new", parent=3)]
    assert left(rows, pruned(rows, "new", 1, parent_id="003")) == ["003", "015", "016"]


def test_subgraphs_of_ended_turns_go_unless_they_keep_their_state() -> None:
    inner = [row(2, "m0", "node:task"), row(3, "m0", "node"), row(5, "m1", "node:other"), row(6, "m1", "node|in:x")]
    rows = [row(1, "m0"), *inner, row(4, "m1"), row(7, "m2"), row(8, "m2", "node:task")]
    assert left(rows, pruned(rows, "m2", 1)) == ["003", "004", "007", "008"]


def test_a_subgraph_that_keeps_its_state_has_it_for_the_kept_turns() -> None:
    inner = [row(10 * turn + step, f"m{turn}", "node") for turn in range(1, 5) for step in (1, 2)]
    rows = sorted([*inner, *(row(10 * turn, f"m{turn}") for turn in range(1, 6))], key=lambda each: each.id)
    kept = left(rows, pruned(rows, "m5", 2))
    assert kept == ["030", "032", "040", "042", "050"]


def test_channels_that_are_built_from_earlier_checkpoints_keep_all() -> None:
    rows = turns(5)
    rows[1] = rows[1]._replace(has_deltas=True)
    assert pruned(rows, "m4", 1) == Pruning()


def test_a_long_history_is_deleted_in_parts_the_oldest_first() -> None:
    rows = turns(700, steps=1)
    found = pruned(rows, "m699", 2)
    assert len(found.gone) == MAX_PRUNED
    assert left(rows, found)[0] == f"{MAX_PRUNED + 1:03}"
    assert found.parents == {("", f"{MAX_PRUNED + 1:03}"): None}


def test_only_the_first_checkpoint_of_a_later_turn_prunes() -> None:
    assert begins_turn("", {"source": "input"}, "001")
    assert not begins_turn("", {"source": "input"}, None)
    assert not begins_turn("", {"source": "loop"}, "001")
    assert not begins_turn("node:task", {"source": "input"}, "001")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.booleans()), max_size=12))
def test_the_messages_that_no_checkpoint_has_are_deleted(lists: list[tuple[int, int, bool]]) -> None:
    rows = [
        row(number, "m", lists=StoredLists(1, {"messages": ((first, first + length),)}))
        for number, (first, length, _) in enumerate(lists, 1)
    ]
    gone = [each for each, (*_, goes) in zip(rows, lists, strict=True) if goes]

    def numbers(found: Sequence[StoredCheckpoint]) -> set[int]:
        ranges = [each for one in found if one.lists for each in one.lists.numbers]
        return {number for first, end in ranges for number in range(first, end)}

    found = without_rows(rows, gone)
    deleted = {number for first, end in found.numbers for number in range(first, end)}
    assert deleted == numbers(gone) - numbers([each for each in rows if each not in gone])


def test_a_copy_has_a_checkpoint_with_its_ancestors_and_subgraphs_that_keep_their_state() -> None:
    inner = [row(2, "m0", "node"), row(3, "m0", "node:task"), row(9, "m2", "node")]
    rows = [row(1, "m0"), *inner, row(4, "m1", parent=1), row(5, "m1", parent=4), row(6, "m2", parent=4)]
    assert [each.id for each in rows_until(rows, "005")] == ["005", "004", "001", "002"]
    assert rows_until(rows, "007") == []
    assert rows_until(rows, "002") == []
