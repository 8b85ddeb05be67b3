"""Threads, and what agents keep of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .base import Model
from .messages import Question


class ForkSource(Model):
    """The state with which a fork began."""

    thread_id: str
    checkpoint_id: str
    message_id: str | None = None
    agent: str


class Checkpoint(Model):
    """The place of a state. `checkpoint_ns` is empty, or names a subgraph."""

    thread_id: str
    checkpoint_ns: str = ""
    checkpoint_id: str


class StateTask(Model):
    """A node that comes next or has run. `state` is that of its subgraph, if it was asked for."""

    id: str
    name: str
    error: str | None = None
    interrupts: list[Question] = []
    result: Any = None
    state: ThreadState | None = None


class Thread(Model):
    """A conversation. `states` counts its messages by state; lists leave it empty and give a preview."""

    thread_id: str
    message_count: int
    created_at: datetime
    last_activity: datetime
    name: str | None = None
    status: str
    metadata: dict[str, Any] = {}
    states: dict[str, int] = {}
    last_message_preview: str | None = None
    forked_from: ForkSource | None = None
    subject: str | None = None
    ttl: float | None = None


class ThreadState(Model):
    """The state of a thread: its values, the nodes that come next, and open questions."""

    values: Any
    next: list[str] = []
    tasks: list[StateTask] = []
    interrupts: list[Question] = []
    checkpoint: Checkpoint | None = None
    parent_checkpoint: Checkpoint | None = None
    metadata: dict[str, Any] = {}
    message_id: str | None = None
    created_at: datetime | None = None


class StateUpdated(Model):
    """The checkpoint that a change of the state has made."""

    checkpoint: Checkpoint
