"""Workers, the agents that they run, and their throughput."""

from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from .types import Moment


class AgentState(StrEnum):
    """Whether a worker can run an agent."""

    LOADING = "loading"
    AVAILABLE = "available"
    FAILED = "failed"
    STUCK = "stuck"
    """The agent is loaded, but abandoned runs prevent the worker from running any agent."""


class WorkerState(StrEnum):
    """Whether a worker claims messages. A draining worker ends its runs; a drained one has none left."""

    ACTIVE = "active"
    DRAINING = "draining"
    DRAINED = "drained"


class ServedAgent(BaseModel):
    """An agent that a worker is configured to run. `error` says why it cannot be loaded or run, without secrets.

    `version` is the version that the worker has of it, None if the worker names none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: AgentState
    error: str | None = None
    version: str | None = None


class WorkerGroup(NamedTuple):
    """Active workers with the same agents in the same states: their slots, and how many slots are in use.

    `agents` is None for workers that do not report them, such as workers of an earlier version.
    """

    slots: int
    running: int
    agents: tuple[ServedAgent, ...] | None


class Throughput(NamedTuple):
    """The slots of all active workers and of their groups, and how many messages run.

    `run_seconds` is the mean run time of the newest completed messages, None if there are none. `draining` counts the
    live workers that are draining or drained, whose slots take no messages.
    """

    paused: bool
    slots: int
    running: int
    run_seconds: float | None
    groups: tuple[WorkerGroup, ...] = ()
    draining: int = 0


class WorkerRun(BaseModel):
    """A message that a worker runs."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    tenant: str
    agent: str


class WorkerLoad(BaseModel):
    """The work of a worker, as of its last heartbeat.

    `busy` is how many slots are in use. `memory_bytes` is the memory that its process holds, None if the host does not
    tell. `tokens_per_second` is estimated from the text that its agents wrote lately. `runs` has the messages that it
    runs, MOST_RUNS of them at most.
    """

    model_config = ConfigDict(frozen=True)

    busy: int
    memory_bytes: int | None
    tokens_per_second: float
    runs: tuple[WorkerRun, ...] = ()


class Worker(BaseModel):
    """A process that claims messages, as of its last heartbeat.

    `agents` and `load` are None if it does not report them.
    `state` tells whether it claims messages.
    `clock_ahead_ms` is by how much the clock of its host was ahead of the store's time; negative if it was behind.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    host: str
    pid: int
    slots: int
    started_at: Moment
    last_beat: Moment
    clock_ahead_ms: int = 0
    state: WorkerState = WorkerState.ACTIVE
    agents: tuple[ServedAgent, ...] | None = None
    load: WorkerLoad | None = None
