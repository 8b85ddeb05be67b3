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
    """Live workers with the same agents in the same states: their slots, and how many slots are in use.

    `agents` is None for workers that do not report them, such as workers of an earlier version.
    """

    slots: int
    running: int
    agents: tuple[ServedAgent, ...] | None


class Throughput(NamedTuple):
    """The slots of all live workers and of their groups, and how many messages run.

    `run_seconds` is the mean run time of the newest completed messages, None if there are none.
    """

    paused: bool
    slots: int
    running: int
    run_seconds: float | None
    groups: tuple[WorkerGroup, ...] = ()


class Worker(BaseModel):
    """A process that claims messages, as of its last heartbeat. `agents` is None if it does not report them.

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
    agents: tuple[ServedAgent, ...] | None = None
