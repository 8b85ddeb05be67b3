"""Names, units, labels and meanings of all metrics. `docs/reference/metrics.md` is made from these definitions."""

from enum import StrEnum
from typing import NamedTuple

from ..policy.histograms import SECONDS

SHORT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of the buckets for calls of the store and heartbeats."""


class MetricKind(StrEnum):
    """The kinds of metrics, as Prometheus names them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricDefinition(NamedTuple):
    """One metric. The samples of a counter have the suffix `_total`.

    `merge` says how the values of several processes behind one port become one. It concerns gauges only.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: str = "livesum"

    @property
    def shown_name(self) -> str:
        """Return the name that expressions use. A histogram also has the suffixes `_bucket`, `_sum` and `_count`."""
        return f"{self.name}_total" if self.kind is MetricKind.COUNTER else self.name


def _counter(name: str, meaning: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(f"agentq_{name}", MetricKind.COUNTER, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str, merge: str = "livesum") -> MetricDefinition:
    return MetricDefinition(f"agentq_{name}", MetricKind.GAUGE, meaning, labels, merge=merge)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> MetricDefinition:
    return MetricDefinition(f"agentq_{name}", MetricKind.HISTOGRAM, meaning, labels, buckets)


SUBMITTED = _counter("messages_submitted", "Messages that this process accepted.", "agent", "priority")
REQUEUED = _counter("messages_requeued", "Dead letters that an operator queued again.")
FINISHED = _counter(
    "messages_finished",
    "Messages that ended by a run or a cancel of this process. `outcome`: completed, failed, cancelled.",
    "agent",
    "outcome",
)
ATTEMPTS = _counter(
    "attempts_finished",
    "Attempts of this worker. `outcome`: completed, failed, cancelled, retried, interrupted (the agent asks a human), "
    "released (put back), lost (another worker may have it).",
    "agent",
    "outcome",
)
RETRIES = _counter("retries", "Attempts that failed and are tried again, by error code.", "agent", "code")
DEAD_LETTERS = _counter("dead_letters", "Messages that a run ended as failed, by error code.", "agent", "code")
LEASES_EXPIRED = _counter("leases_expired", "Messages that this process took back from lost workers.")
COUNTERS_REPAIRED = _counter("counters_repaired", "Counters of the store that were wrong and are repaired.")
QUESTIONS_EXPIRED = _counter("questions_expired", "Messages that failed because no human answered in time.")
WAIT = _histogram(
    "wait_seconds",
    "Seconds from the submit, or from `run_at`, to the first attempt. A requeued message counts from its submit.",
    "agent",
    "priority",
)
RUN = _histogram("run_seconds", "Seconds of an attempt, from its claim to its stored outcome.", "agent", "outcome")
FIRST_TOKEN = _histogram(
    "time_to_first_token_seconds", "Seconds from the begin of an attempt to the first piece of its text.", "agent"
)
INTER_TOKEN = _histogram(
    "inter_token_seconds", "Seconds between two deliveries of text from an agent, each of one or more tokens.", "agent"
)
TOKENS = _counter(
    "tokens",
    "Tokens as the providers report them. `kind`: input, output, cached (a part of input), reasoning (a part of "
    "output).",
    "model",
    "kind",
)
COST = _counter("cost_dollars", "Cost of model calls in US dollars, of models whose price is known.", "model")
EVENTS_WRITTEN = _counter("events_written", "Events that the runs of this process stored.")
HEARTBEATS = _counter("heartbeats", "Heartbeats of this worker. `outcome`: ok, failed.", "outcome")
HEARTBEAT = _histogram(
    "heartbeat_seconds", "Seconds that a heartbeat took, with the renewal of all leases.", buckets=SHORT_SECONDS
)
STORE_CALLS = _histogram(
    "store_call_seconds", "Seconds of a call of the store, by the method of its ports.", "verb", buckets=SHORT_SECONDS
)
STORE_ERRORS = _counter("store_errors", "Calls of the store that failed, by error code.", "verb", "code")
SLOTS = _gauge("worker_slots", "Messages that this process runs at a time.")
SLOTS_BUSY = _gauge("worker_slots_busy", "Messages that this process runs now.")
SILENCE = _gauge(
    "worker_silent_seconds", "Seconds since this worker's last heartbeat; 0 without a worker.", merge="livemax"
)
READERS = _gauge(
    "readers_open",
    "Readers of events in this process. `kind`: stream (server-sent events), websocket (subscriptions), wait "
    "(`Prefer: wait`).",
    "kind",
)
READER_LAG = _gauge(
    "reader_lag_events", "Events by which the slowest reader of this process is behind.", merge="livemax"
)
WEBSOCKETS = _gauge("websockets_open", "Open WebSockets of this process.")

OF_PROCESSES = (
    *(
        SUBMITTED,
        REQUEUED,
        FINISHED,
        ATTEMPTS,
        RETRIES,
        DEAD_LETTERS,
        LEASES_EXPIRED,
        COUNTERS_REPAIRED,
        QUESTIONS_EXPIRED,
        WAIT,
        RUN,
    ),
    *(FIRST_TOKEN, INTER_TOKEN, TOKENS, COST, EVENTS_WRITTEN, HEARTBEATS, HEARTBEAT, STORE_CALLS, STORE_ERRORS),
    *(SLOTS, SLOTS_BUSY, SILENCE, READERS, READER_LAG, WEBSOCKETS),
)
"""Metrics that each process counts by itself. Add the values of all processes."""

BUILD = _gauge("build_info", "1, with the version of the program and the engine of the queue.", "version", "engine")
STORE_UP = _gauge("store_up", "1 if the store answered this read, else 0 and no other metric of this list.")
DEPTH = _gauge(
    "queue_depth",
    "Messages that wait for a worker or for their thread, by their place in the claim order: a message ahead of an "
    "urgent one in its thread counts as urgent. With `PRIORITY_AGING_SECONDS` there is one order, `all`.",
    "priority",
)
OLDEST = _gauge(
    "queue_oldest_seconds",
    "Seconds that the first message of this priority in the claim order has waited; absent if none waits.",
    "priority",
)
MESSAGES = _gauge(
    "queue_messages",
    "Messages of the queue. `state`: waiting, delayed, processing, interrupted, dead_letter.",
    "state",
)
LIMIT = _gauge("queue_limit", "`MAX_QUEUE_SIZE` of this process.")
PAUSED = _gauge("queue_paused", "1 while the queue is paused.")
WORKERS = _gauge("workers_live", "Workers with a recent heartbeat.")
LIVE_SLOTS = _gauge("slots_live", "Slots of all live workers that are not drained.")
BEAT_AGE = _gauge("heartbeat_age_seconds", "Seconds since the oldest last heartbeat of a live worker; absent if none.")

OF_QUEUE = (BUILD, STORE_UP, DEPTH, OLDEST, MESSAGES, LIMIT, PAUSED, WORKERS, LIVE_SLOTS, BEAT_AGE)
"""Metrics that are read from the store, the same in every process. Take the maximum over processes, not the sum."""
