"""Chooses the checkpoints that nothing needs any more. Applied when a turn begins: all earlier turns have ended then.

The last checkpoint of each of the newest turns stays, so that a conversation can be continued from there. All
checkpoints of the turn that begins stay.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from .known_lists import TASK_MARK, StoredLists
from .ranges import Ranges, union, without

MAX_PRUNED = 500
"""How many checkpoints are deleted at once. A conversation from before pruning may have more."""


class StoredCheckpoint(NamedTuple):
    """The fields of a checkpoint that pruning reads. `has_deltas`: a channel is built from earlier checkpoints."""

    namespace: str
    id: str
    parent_id: str | None
    run_id: str | None
    has_deltas: bool
    lists: StoredLists | None

    @property
    def turn(self) -> str:
        """Return the turn that the checkpoint belongs to. An update outside of runs is a turn of its own."""
        return self.run_id or self.id

    @property
    def place(self) -> tuple[str, str]:
        """Return the namespace and the id."""
        return self.namespace, self.id


class Pruning(NamedTuple):
    """Checkpoints to delete, new parents of checkpoints that stay, and the numbers of messages to delete."""

    gone: Sequence[StoredCheckpoint] = ()
    parents: Mapping[tuple[str, str], str | None] = MappingProxyType({})
    numbers: Ranges = ()


def begins_turn(namespace: str, metadata: Mapping[str, Any], parent_id: str | None) -> bool:
    """Return whether a checkpoint is the first of a turn that follows others."""
    return not namespace and metadata.get("source") == "input" and parent_id is not None


def most_checkpoints(turns: int) -> int:
    """Return how many checkpoints a conversation may have when a turn begins, before it is pruned.

    `turns` is the number of ended turns that keep a state. A conversation is then pruned once in several turns, and a
    short one never.
    """
    return 2 * turns


def prune(rows: Sequence[StoredCheckpoint], *, run_id: str | None, parent_id: str | None, turns: int) -> Pruning:
    """Return what to delete when the turn `run_id` has begun after the checkpoint `parent_id`.

    `rows` are all checkpoints of the conversation. Delete nothing if a channel is built from earlier checkpoints.
    """
    if any(row.has_deltas for row in rows):
        return Pruning()
    newest_first = sorted(rows, key=lambda row: row.id, reverse=True)
    ended = list(dict.fromkeys(row.turn for row in newest_first if not row.namespace and row.turn != run_id))
    kept_turns = set(ended[:turns])
    seen: set[str] = set()
    last_of_turn: set[tuple[str, str]] = set()
    gone = []
    for row in newest_first:
        is_last = (row.namespace, row.turn) not in last_of_turn
        is_newest = row.namespace not in seen
        seen.add(row.namespace)
        last_of_turn.add((row.namespace, row.turn))
        stays = is_newest or (is_last and row.turn in kept_turns) or row.place == ("", parent_id)
        if row.turn != run_id and (TASK_MARK in row.namespace or not stays):
            gone.append(row)
    return without_rows(rows, gone[-MAX_PRUNED:])


def without_rows(rows: Sequence[StoredCheckpoint], gone: Sequence[StoredCheckpoint]) -> Pruning:
    """Return what to delete and to change so that `gone` are deleted and the other rows stay whole."""
    removed = {row.place: row for row in gone}
    stay = [row for row in rows if row.place not in removed]
    parents = {row.place: _parent(row, removed) for row in stay if (row.namespace, row.parent_id) in removed}
    freed = union(row.lists.numbers for row in gone if row.lists)
    return Pruning(gone, parents, without(freed, union(row.lists.numbers for row in stay if row.lists)))


def _parent(row: StoredCheckpoint, removed: Mapping[tuple[str, str], StoredCheckpoint]) -> str | None:
    """Return the nearest ancestor that stays."""
    found: StoredCheckpoint | None = row
    while found is not None and found.parent_id is not None:
        parent_id = found.parent_id
        found = removed.get((row.namespace, parent_id))
        if found is None:
            return parent_id
    return None


def rows_until(rows: Sequence[StoredCheckpoint], checkpoint_id: str) -> Sequence[StoredCheckpoint]:
    """Return a checkpoint, its ancestors, and the earlier checkpoints of subgraphs that keep their state.

    Return nothing if there is no such checkpoint.
    """
    known = {row.id: row for row in rows if not row.namespace}
    found = []
    at: str | None = checkpoint_id
    while at is not None and (row := known.pop(at, None)) is not None:
        found.append(row)
        at = row.parent_id
    inner = [row for row in rows if row.namespace and TASK_MARK not in row.namespace and row.id <= checkpoint_id]
    return [*found, *inner] if found else []
