"""Figures about the whole queue, of all tenants."""

from collections.abc import Mapping
from typing import NamedTuple


class QueueFigures(NamedTuple):
    """The unfinished messages and the dead letters of all tenants at one moment.

    `waiting` counts the messages that wait for a worker or for their thread, by level of the claim order. A level is
    that of a priority. With PRIORITY_AGING_SECONDS, all messages are in level 0. `oldest_seconds` says for each such
    level how long ago the first message in the claim order was accepted, or was to run. `delayed` counts messages whose
    time has not come.
    """

    waiting: Mapping[int, int]
    oldest_seconds: Mapping[int, float]
    delayed: int
    processing: int
    interrupted: int
    failed: int
