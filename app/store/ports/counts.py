"""Compares counters with a listing."""

from typing import Protocol

from ...models.counts import CountDifference


class CountStore(Protocol):
    """Checks the counters that the store keeps, so that totals need no count over all messages."""

    async def check_counts(self) -> list[CountDifference]:
        """Compare the counters with the messages, and repair those that differ. Return the differences.

        Compares the totals by state and priority, the counts that positions are computed from, the dead letters and the
        counts of threads. Each comparison reads one snapshot, so that messages that change meanwhile are no
        differences. Each repair compares again, in its own transaction (tests/contract/test_counts.py). Reads in parts;
        nobody waits for more than one part.
        """
