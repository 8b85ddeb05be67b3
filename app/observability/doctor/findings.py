"""Makes findings. The title of each kind stands here once."""

from collections.abc import Iterable, Mapping

from ...models.diagnosis import Finding, FindingCode, Report, SampledMessage, Severity, Unchecked

PAGE = "how-to/troubleshoot.md"
"""The place of the page among those of the documentation, which is not installed."""

TITLES: Mapping[FindingCode, str] = {
    FindingCode.SETTING_INVALID: "A setting cannot work",
    FindingCode.SETTING_MISSPELT: "A name in .env seems to be misspelt",
    FindingCode.PORT_TAKEN: "Another program has the port",
    FindingCode.SERVER_UNREACHABLE: "The server was not examined from inside",
    FindingCode.DATABASE_UNUSABLE: "The database cannot be used",
    FindingCode.DATABASE_AWAY: "The database does not answer",
    FindingCode.STORE_VOLATILE: "The database may lose messages",
    FindingCode.NO_WORKER: "No worker runs messages",
    FindingCode.WORKERS_DRAINED: "An operator has drained workers",
    FindingCode.WORKER_LOST: "A worker was lost while it ran messages",
    FindingCode.WORKERS_BUSY: "All workers are busy, and messages wait",
    FindingCode.AGENT_LOADING: "An agent has been loading for long",
    FindingCode.AGENT_FAILED: "An agent could not be loaded",
    FindingCode.AGENT_MISSING: "No worker has the agent of waiting messages",
    FindingCode.QUEUE_PAUSED: "The queue is paused",
    FindingCode.QUEUE_FULL: "The queue is nearly full",
    FindingCode.THREAD_WAITS: "Messages wait for others of their thread",
    FindingCode.TENANT_WAITS: "Messages wait since their tenant runs as many as it may",
    FindingCode.HUNG_THREADS: "Runs of ended messages do not stop",
    FindingCode.LOOP_BLOCKED: "An agent blocks all others",
    FindingCode.HEARTBEAT_LOST: "The worker's heartbeats do not get through",
    FindingCode.MEMORY_UNUSABLE: "The agents' memory cannot be used",
    FindingCode.STREAMS_CUT: "Streams break off before their end",
    FindingCode.MESSAGES_FAIL: "Many messages fail",
    FindingCode.QUOTA_EXHAUSTED: "The account at the model's provider is used up",
    FindingCode.PROVIDER_REFUSED: "The model's provider refuses the key, the model or the request",
    FindingCode.PROVIDER_LIMIT: "The model's provider limits the calls",
    FindingCode.TIMEOUTS: "Messages exceed their time limit",
    FindingCode.RETRY_STORM: "Most attempts are retries",
    FindingCode.POISON_MESSAGE: "A message kills its workers",
    FindingCode.THIS_HOST_ONLY: "Only requests of this host are answered",
    FindingCode.OPEN_TO_ALL: "Everybody who reaches the server may use it",
    FindingCode.KEY_EXPIRES: "An API key expires soon",
    FindingCode.CLOCK_SKEW: "Clocks differ",
    FindingCode.ENGINE_NEARLY_FULL: "The database is nearly out of space",
    FindingCode.LOG_GROWING: "A log of the database grows",
    FindingCode.LONG_TRANSACTION: "A transaction has been open for long",
    FindingCode.FEW_CONNECTIONS: "The database has few connections left",
}

_ORDER = list(Severity)


def finding(code: FindingCode, severity: Severity, detail: str, cure: str) -> Finding:
    """Return a finding of this kind. `detail` is one or two sentences without secrets."""
    return Finding(
        code=code, severity=severity, title=TITLES[code], detail=detail, cure=cure, docs=f"{PAGE}#{code.value}"
    )


def error(code: FindingCode, detail: str, cure: str) -> Finding:
    """Return an error."""
    return finding(code, Severity.ERROR, detail, cure)


def warning(code: FindingCode, detail: str, cure: str) -> Finding:
    """Return a warning."""
    return finding(code, Severity.WARNING, detail, cure)


def note(code: FindingCode, detail: str, cure: str) -> Finding:
    """Return a note."""
    return finding(code, Severity.NOTE, detail, cure)


def report(findings: Iterable[Finding], unchecked: Iterable[Unchecked], *, checks: int) -> Report:
    """Return the report of these findings, the worst first."""
    ordered = sorted(findings, key=lambda each: (_ORDER.index(each.severity), list(FindingCode).index(each.code)))
    return Report(
        healthy=all(each.severity is not Severity.ERROR for each in ordered),
        checks=checks,
        findings=tuple(ordered),
        unchecked=tuple(unchecked),
    )


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, such as `1 message` or `2 messages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def example(messages: Iterable[SampledMessage], tenant: str | None) -> str:
    """Return `, such as ID` with the first message whose id may be shown; an empty text if there is none."""
    shown = next((each.id for each in messages if tenant is None or each.tenant == tenant), None)
    return "" if shown is None else f", such as {shown}"


def curl(url: str, request: str) -> str:
    """Return the command that sends a request such as `POST /queue/resume`."""
    method, _, path = request.partition(" ")
    return f"curl {'' if method == 'GET' else f'-X {method} '}{url}{path}"
