"""The server, its agents, and its figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .base import Model
from .messages import ModelCost
from .queue import ServedAgent


class About(Model):
    """The server's name and version, and the paths of its parts."""

    name: str
    version: str
    links: dict[str, str] = {}


class Check(Model):
    """A check of the health. `detail` says what is wrong, and is empty otherwise."""

    ok: bool
    detail: str = ""


class Health(Model):
    """The state of a process: `healthy`, `degraded`, or `starting` while its agents load."""

    status: str
    version: str
    checks: dict[str, Check] = {}
    agents: list[ServedAgent] = []


class Alive(Model):
    """The process answers."""

    status: str


class Finding(Model):
    """A fault, or what may become one. `cure` is a command to copy, `docs` a place in the documentation."""

    code: str
    severity: str
    title: str
    detail: str
    cure: str
    docs: str


class Unchecked(Model):
    """A check that could not be made, and why."""

    check: str
    reason: str


class Report(Model):
    """The result of an examination, the worst findings first. `healthy` is false if one is an error."""

    healthy: bool
    checks: int
    findings: list[Finding] = []
    unchecked: list[Unchecked] = []


class Setting(Model):
    """A setting by the name of its variable. `masked` is True if a secret is not shown.

    `source` is `environment`, `file` or `default`. `differs` tells whether the value is another than `default`.
    """

    name: str
    value: bool | int | float | str | list[str] | dict[str, str] | None = None
    masked: bool = False
    source: str = "default"
    default: bool | int | float | str | list[str] | dict[str, str] | None = None
    differs: bool = False
    meaning: str = ""


class LiveWorkers(Model):
    """The live workers that are to run an agent, counted by its state there."""

    loading: int = 0
    available: int = 0
    failed: int = 0
    stuck: int = 0


class LiveVersion(Model):
    """A version of an agent, and the live workers that have it."""

    version: str | None = None
    workers: LiveWorkers


class Agent(Model):
    """An agent: what it takes, returns and shows, as JSON Schemas. What is not known yet is None."""

    name: str
    is_default: bool = False
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    context_schema: dict[str, Any] | None = None
    state_schema: dict[str, Any] | None = None
    graph: dict[str, Any] | None = None
    events: list[str] = []
    nodes: list[str] = []
    takes_text: bool | None = None
    version: str | None = None
    workers: LiveWorkers | None = None
    versions: list[LiveVersion] = []
    error: str | None = None


class QuotaUse(Model):
    """A quota `of` a tenant, key or subject, and what is left of it. `unit` is `messages` or `tokens`."""

    of: str
    unit: str
    period: str
    limit: int
    used: int
    left: int
    resets_at: datetime


class UsageRow(ModelCost):
    """Tokens and cost of a group. Fields that do not name the group are None."""

    hour: datetime | None = None
    day: str | None = None
    tenant: str | None = None
    key: str | None = None
    subject: str | None = None
    agent: str | None = None
    model: str | None = None


class Times(Model):
    """How long something took, in seconds. None where nothing was measured; percentiles are estimates."""

    count: int
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class ErrorCount(Model):
    """How many messages failed with an error code."""

    code: str
    count: int


class WindowTokens(Model):
    """Tokens and cost of a window. `cost` is in US dollars as a decimal text, None without a price."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    cost_complete: bool = True


class ServerNow(Model):
    """The queue of all tenants and its workers now. `waiting` and `oldest_seconds` are by priority."""

    waiting: dict[str, int] = {}
    oldest_seconds: dict[str, float] = {}
    delayed: int
    processing: int
    interrupted: int
    dead_letters: int
    paused: bool
    workers: int
    slots: int
    slots_busy: int


class Statistics(Model):
    """The messages by state now, and what happened in a window. `server` is None without the scope `admin`.

    `queued_by_priority` counts the queued messages by their own priorities, those for a later time included.
    `error_rate` is the share of failed messages in those that ended, None if none did.
    """

    since: datetime
    until: datetime
    step: int
    messages: dict[str, int] = {}
    queued_by_priority: dict[str, int] = {}
    counts: dict[str, int] = {}
    completed_per_minute: float
    error_rate: float | None = None
    errors: list[ErrorCount] = []
    wait: Times
    first_token: Times
    run: Times
    tokens: WindowTokens
    server: ServerNow | None = None


class Point(Times):
    """One step of a series, which begins at `at`. `tokens` is None but for the metric `usage`."""

    at: datetime
    tokens: WindowTokens | None = None


class Series(Model):
    """The points of one group, oldest first. `group` is None for all together."""

    group: str | None = None
    points: list[Point] = []


class SeriesList(Model):
    """A metric over time. `step` is the seconds between two points. Groups with the most come first."""

    metric: str
    step: int
    series: list[Series] = []
