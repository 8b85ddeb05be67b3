"""Reads figures about the whole queue: the part that both SQL stores share."""

from ...models.messages import MessageState, Priority
from ...models.statistics import QueueFigures
from ...policy.rank import RankPolicy
from ..rows import to_queue_figures
from .reads import LEVEL, Reads


def read_figures(reads: Reads, ranks: RankPolicy, now: int) -> QueueFigures:
    """Return the figures of the queue, inside a transaction. `now` is the store's time in milliseconds."""
    states, levels, *firsts = reads.rows_of_each(
        [
            ("count_states", {}),
            ("count_waiting", {}),
            *(("first_waiting", {"rank": priority.level * LEVEL}) for priority in Priority),
        ]
    )
    totals = {MessageState(state): int(count) for state, count in states}
    waiting = {int(level): int(count) for level, count in levels if count > 0}
    queued = totals.get(MessageState.QUEUED, 0)
    return to_queue_figures(
        ranks,
        now,
        waiting=waiting,
        firsts={priority.level: rows[0] for priority, rows in zip(Priority, firsts, strict=True) if rows},
        delayed=max(0, queued - sum(waiting.values())),
        processing=totals.get(MessageState.PROCESSING, 0),
        interrupted=totals.get(MessageState.INTERRUPTED, 0),
        failed=totals.get(MessageState.FAILED, 0),
    )
