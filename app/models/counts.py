"""Counters that differ from a listing."""

from typing import NamedTuple


class CountDifference(NamedTuple):
    """A counter that said `told` where a listing of the messages gives `counted`. `counter` names it for the log."""

    counter: str
    told: str
    counted: str
