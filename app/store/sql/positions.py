"""Counts the positions of messages in the queue."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ...policy.rank import LEVEL
from ..limits import EXACT_POSITION_LIMIT
from .query_runner import QueryRunner

FEW_GAPS = 256
"""Maximum number of new places of which each is counted from the one before."""

FEW_POSITIONS = 5
"""Maximum number of positions that are counted one by one."""

NEAR_END = 200
"""Positions this near to the end of their level are counted from the end, where new messages are."""


class NewPlaces:
    """Places (rank, number) of new messages in their order, with their positions."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int]] = []
        self._positions: list[int] = []
        self._last: dict[int, tuple[int, int]] = {}
        """The last place of each level of which it is known."""

    def clear(self) -> None:
        """Forget the places, since the queue was changed otherwise."""
        self._places.clear()
        self._positions.clear()
        self._last.clear()

    def nearest(self, place: tuple[int, int]) -> tuple[tuple[int, int], int] | None:
        """Return the last place before this one in its level, and its position. Return None without one."""
        at = bisect_left(self._places, place) - 1
        if at < 0 or self._places[at][0] // LEVEL != place[0] // LEVEL:
            return None
        return self._places[at], self._positions[at]

    def is_last(self, place: tuple[int, int]) -> bool:
        """Return whether it is known that no other message of the level waits behind this place."""
        return self._last.get(place[0] // LEVEL) == place

    def add(self, place: tuple[int, int], position: int, *, last: bool) -> None:
        """Note a new message, which comes before those behind it. `last` tells that none of its level is."""
        at = bisect_left(self._places, place)
        self._positions[at:] = [position, *(each + 1 for each in self._positions[at:])]
        self._places.insert(at, place)
        if last:
            self._last[place[0] // LEVEL] = place


def queries_of_ends(ranks: Sequence[int | None]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the queries that read each level of these ranks from the first of the ranks to its end.

    `PositionReads.positions_at_ends` takes their rows. They can be made before the messages are stored.
    """
    ranked = [rank for rank in ranks if rank is not None]
    queries: list[tuple[str, Mapping[str, Any]]] = []
    for rank in _first_ranks(ranked).values():
        queries += [
            ("count_levels", {"rank": rank}),
            ("places_from", {"rank": rank, "number": 0, "most": NEAR_END + len(ranked)}),
        ]
    return queries


def _first_ranks(ranks: Iterable[int]) -> dict[int, int]:
    """Return the first rank of each level."""
    firsts: dict[int, int] = {}
    for rank in ranks:
        level = rank // LEVEL
        firsts[level] = min(rank, firsts.get(level, rank))
    return firsts


class PositionReads(QueryRunner):
    """Counts positions inside a transaction, on the thread that owns the connection."""

    def count_before(self, number: int, rank: int) -> int:
        """Return how many waiting messages are before the place (`rank`, `number`).

        The database keeps the counts of other levels. Within its own level, the place is counted from the nearer end.
        In the middle of a very long level, the result is an estimate.
        """
        return self._find_place(number, rank)[0]

    def _find_place(self, number: int, rank: int) -> tuple[int, bool]:
        """Return the position of a place as `count_before` does, and whether it is the last of its level."""
        before, level = self.rows("count_levels", rank=rank)[0]
        near: int = self.value("count_after", rank=rank, number=number, most=NEAR_END)
        if near < NEAR_END:
            return int(before + level - 1 - near), near == 0
        most = EXACT_POSITION_LIMIT + 1
        ahead: int = self.value("count_ahead", rank=rank, number=number, most=most)
        if ahead < most:
            return int(before + ahead), False
        after: int = self.value("count_after", rank=rank, number=number, most=most)
        return int(before + (level - 1 - after if after < most else level // 2)), False

    def positions_of(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Return how many messages wait before each place (rank, number), counted as in `count_before`."""
        if len(places) <= FEW_POSITIONS:
            return {(rank, number): self.count_before(number, rank) for rank, number in places}
        levels: dict[int, list[tuple[int, int]]] = {}
        for place in places:
            levels.setdefault(place[0] // LEVEL, []).append(place)
        found: dict[tuple[int, int], int] = {}
        most = EXACT_POSITION_LIMIT + 1
        for level, members in levels.items():
            before, waiting = self.rows("count_levels", rank=level * LEVEL)[0]
            # With fair share, messages of those who have few waiting are near the start.
            near = self.rows("places_from", rank=level * LEVEL, number=0, most=NEAR_END + len(members))
            if near and max(members) <= near[-1]:
                found |= {place: int(before + bisect_left(near, place)) for place in members}
                continue
            start = self.rows("places_from", rank=level * LEVEL, number=0, most=most)
            end = self.rows("places_to", rank=level * LEVEL, most=most)[::-1]
            for place in members:
                ahead = bisect_left(start, place)
                behind = len(end) - bisect_right(end, place)
                if ahead == most:
                    ahead = waiting - 1 - behind if behind < most else waiting // 2
                found[place] = int(before + ahead)
        return found

    def newest_positions(self, places: Sequence[tuple[int | None, int]]) -> list[int | None]:
        """Return how many messages wait before each place (rank, number), None for a place without a rank.

        Meant for new messages. Most of them are at the end of their level. A single read of the end then gives all
        their positions.
        """
        return self.positions_at_ends(places, self.rows_of_each(queries_of_ends([rank for rank, _ in places])))

    def positions_at_ends(
        self, places: Sequence[tuple[int | None, int]], ends: Sequence[Sequence[tuple[Any, ...]]]
    ) -> list[int | None]:
        """Return the same as `newest_positions`. `ends` has the rows of `queries_of_ends` for the ranks."""
        ranked = [(rank, number) for rank, number in places if rank is not None]
        levels = list(_first_ranks(rank for rank, _ in ranked))
        most = NEAR_END + len(ranked)
        counted = dict(zip(levels, zip(ends[::2], ends[1::2], strict=True), strict=True))
        found: dict[tuple[int, int], int] = {}
        not_at_end: list[tuple[int, int]] = []  # others of the level have later turns
        for place in ranked:
            [(before, waiting)], tail = counted[place[0] // LEVEL]
            if len(tail) < most:
                found[place] = max(before + waiting - len(tail) + bisect_left(tail, place), 0)
            else:
                not_at_end.append(place)
        found |= self._new_positions_of(not_at_end)
        return [None if rank is None else found[rank, number] for rank, number in places]

    def position_near(self, place: tuple[int, int], known: NewPlaces) -> int:
        """Return how many messages wait before a new one at this place, and note the place.

        Only what is between the nearest known place and this one is counted.
        """
        nearest, most = known.nearest(place), EXACT_POSITION_LIMIT + 1
        if nearest is not None:
            last = known.is_last(nearest[0])
            between = 1 if last else self._count_between([(nearest[0], place)], most)[0]
            if between < most:
                known.add(place, nearest[1] + between, last=last)
                return nearest[1] + between
        position, last = self._find_place(place[1], place[0])
        known.add(place, position, last=last)
        return position

    def _new_positions_of(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Return how many messages wait before each place of new messages that are not at the end of their level.

        The first place of a level is counted as in `count_before`. The others are near it most of the time, since the
        messages of a flow are one turn apart, so only what is between two places is counted.
        """
        if len(places) > FEW_GAPS:
            return self.positions_of(places)
        found: dict[tuple[int, int], int] = {}
        most = EXACT_POSITION_LIMIT + 1
        ordered = sorted(places)
        pairs = [(one, other) for one, other in pairwise(ordered) if one[0] // LEVEL == other[0] // LEVEL]
        between = dict(zip([other for _, other in pairs], self._count_between(pairs, most), strict=True))
        for at, place in enumerate(ordered):
            count = between.get(place, most)
            found[place] = self.count_before(place[1], place[0]) if count >= most else found[ordered[at - 1]] + count
        return found

    def _count_between(self, pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]], most: int) -> list[int]:
        """Return how many messages wait from the first place of each pair to before the second, at most `most`."""
        queries = [
            ("count_between", {"first": one[0], "from": one[1], "rank": other[0], "number": other[1], "most": most})
            for one, other in pairs
        ]
        return [int(rows[0][0]) for rows in self.rows_of_each(queries)] if queries else []
