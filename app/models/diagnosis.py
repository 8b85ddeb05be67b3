"""The facts that `agentq doctor` reads, and its findings."""

from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from .messages import MessageState, Readiness
from .types import Moment


class Severity(StrEnum):
    """How much a finding matters. With an error, messages wait or fail, or will soon."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingCode(StrEnum):
    """The stable names of what can be found. The documentation has a section on each, under "Troubleshoot"."""

    SETTING_INVALID = "setting_invalid"
    SETTING_MISSPELT = "setting_misspelt"
    PORT_TAKEN = "port_taken"
    SERVER_UNREACHABLE = "server_unreachable"
    DATABASE_UNUSABLE = "database_unusable"
    DATABASE_AWAY = "database_away"
    STORE_VOLATILE = "store_volatile"
    NO_WORKER = "no_worker"
    WORKERS_DRAINED = "workers_drained"
    WORKER_LOST = "worker_lost"
    WORKERS_BUSY = "workers_busy"
    AGENT_LOADING = "agent_loading"
    AGENT_FAILED = "agent_failed"
    AGENT_MISSING = "agent_missing"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_FULL = "queue_full"
    THREAD_WAITS = "thread_waits"
    TENANT_WAITS = "tenant_waits"
    HUNG_THREADS = "hung_threads"
    LOOP_BLOCKED = "loop_blocked"
    HEARTBEAT_LOST = "heartbeat_lost"
    MEMORY_UNUSABLE = "memory_unusable"
    STREAMS_CUT = "streams_cut"
    MESSAGES_FAIL = "messages_fail"
    QUOTA_EXHAUSTED = "quota_exhausted"
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_LIMIT = "provider_limit"
    TIMEOUTS = "timeouts"
    RETRY_STORM = "retry_storm"
    POISON_MESSAGE = "poison_message"
    THIS_HOST_ONLY = "this_host_only"
    OPEN_TO_ALL = "open_to_all"
    KEY_EXPIRES = "key_expires"
    CLOCK_SKEW = "clock_skew"
    ENGINE_NEARLY_FULL = "engine_nearly_full"
    LOG_GROWING = "log_growing"
    LONG_TRANSACTION = "long_transaction"
    FEW_CONNECTIONS = "few_connections"


class Finding(BaseModel):
    """A fault, or what may become one. `cure` is a command to copy. `docs` is a place in the documentation."""

    model_config = ConfigDict(frozen=True)

    code: FindingCode
    severity: Severity
    title: str
    detail: str
    cure: str
    docs: str


class Unchecked(BaseModel):
    """A check that could not be made, and why."""

    model_config = ConfigDict(frozen=True)

    check: str
    reason: str


class Report(BaseModel):
    """The result of an examination. `healthy` is false if a finding is an error. The worst findings come first."""

    model_config = ConfigDict(frozen=True)

    healthy: bool
    checks: int
    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]


class Resource(StrEnum):
    """Resources that an engine may run out of."""

    SPACE = "space"
    """Bytes of a disk or of memory."""

    LOG = "log"
    """Bytes of a log that the engine cannot shorten."""

    TRANSACTION = "transaction"
    """Seconds for which the oldest transaction is open. The engine keeps what it may still read."""

    CONNECTIONS = "connections"
    """Connections to the server."""


class EngineReading(NamedTuple):
    """How much of a resource is used. `limit` is how much there is or should be, at most.

    `subject` names what is meant in a sentence. `fault` is what the engine itself reports as failing, empty if it
    reports nothing. `cure` is a command that an operator may run.
    """

    resource: Resource
    subject: str
    used: float
    limit: float
    cure: str
    fault: str = ""


class SampledMessage(NamedTuple):
    """A message as far as a diagnosis needs it, without its texts.

    `at` is when it ended, or when it was accepted. `error_code` is that of its failure, or of its last failed attempt;
    None without one.
    """

    id: str
    tenant: str
    thread_id: str | None
    agent: str
    state: MessageState
    readiness: Readiness | None
    attempt: int
    crashes: int
    worker_id: str | None
    at: Moment
    error_code: str | None
