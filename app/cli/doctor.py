"""The command `agentq doctor`, which finds faults of the queue and names their cures."""

import asyncio
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import ValidationError

from ..bootstrap import check_store, start_logging
from ..config import Settings, load_settings, misspelt_settings, share_environment
from ..doctor import examine_store
from ..errors import AgentQueueError, ConfigurationError, StoreRefused, StoreUnavailable
from ..models.diagnosis import Finding, FindingCode, Report, Severity, Unchecked
from ..observability.doctor.findings import counted, error, note, report, warning
from ..store.factory import SQLITE, make_store
from .commands import group
from .terminal import Terminal

app = group()

API_KEY = "AGENT_QUEUE_API_KEY"
"""Names the environment variable with a key of the scope `admin`, for servers that have keys."""

ASK_SECONDS = 15.0
"""How long a server may take to examine itself."""

LOCAL_CHECKS = 5
"""Number of checks that this command makes itself: settings, names in .env, the port, the server, the database."""

HEALTHY, UNHEALTHY, NOT_RUN = 0, 1, 2

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


class Part(NamedTuple):
    """The findings of one of the local checks."""

    findings: Sequence[Finding] = ()
    unchecked: Sequence[Unchecked] = ()
    report: Report | None = None


def _address(given: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", given):
        raise typer.BadParameter("expected the address of a server, such as http://localhost:8000")
    return given


@app.command()
def doctor(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Annotated[
        str | None,
        typer.Option(
            parser=_address,
            metavar="URL",
            help="The server to examine from inside. Default: http://localhost:PORT.",
        ),
    ] = None,
) -> int:
    """Find faults of the queue, its database and its server, and name their cures.

    Exit code 0: no errors were found; 1: there are errors; 2: the examination could not be made. If the server has API
    keys, AGENT_QUEUE_API_KEY must be one with the scope admin.
    """
    terminal: Terminal = ctx.obj
    with redirect_stdout(terminal.stderr):  # only the report is on standard output, no log lines
        return run(terminal, url, as_json=as_json)


def run(terminal: Terminal, url: str | None, *, as_json: bool) -> int:
    """Examine, print the report, and return the exit code."""
    try:
        found = asyncio.run(_examined(url))
    except Exception as failure:  # noqa: BLE001  another exit code tells it from a finding
        terminal.note(f"The examination could not be made. {type(failure).__name__}: {failure}")
        return NOT_RUN
    if as_json:
        terminal.stdout.write(found.model_dump_json() + "\n")
    else:
        show(found, terminal)
    return HEALTHY if found.healthy else UNHEALTHY


async def _examined(url: str | None) -> Report:
    try:
        settings = load_settings()
    except ConfigurationError as failure:
        cure = f"{str(failure).partition(':')[0]}=... agentq doctor  # or correct the line in .env"
        return report([error(FindingCode.SETTING_INVALID, f"{failure}.", cure)], [], checks=1)
    share_environment(settings)
    start_logging(settings.model_copy(update={"log_level": "ERROR"}))
    names = [
        warning(FindingCode.SETTING_MISSPELT, f"{name} is not a setting. Did you mean {guess}?", f"{guess}=...")
        for name, guess in misspelt_settings().items()
    ]
    parts = [Part(names), await _ask_server(url, settings), await _examine_database(settings)]
    return _merged(parts)


def _merged(parts: Sequence[Part]) -> Report:
    """Return one report. Of findings with the same code in several parts, the first part's count."""
    findings: list[Finding] = []
    for part in parts:
        known = {each.code for each in findings}
        given = [*part.findings, *(part.report.findings if part.report else ())]
        findings += [each for each in given if each.code not in known]
    unchecked = {each.check: each for part in parts for each in (*part.unchecked, *_unchecked_of(part.report))}
    checks = max((part.report.checks for part in parts if part.report), default=0)
    return report(findings, unchecked.values(), checks=checks + LOCAL_CHECKS)


def _unchecked_of(given: Report | None) -> Sequence[Unchecked]:
    return given.unchecked if given else ()


async def _ask_server(url: str | None, settings: Settings) -> Part:
    """Ask the server for its report. Say why not if it gives none."""
    import httpx2

    address = (url or f"http://localhost:{settings.port}").rstrip("/")
    key = os.environ.get(API_KEY)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx2.AsyncClient(timeout=ASK_SECONDS, trust_env=url is not None) as client:
            answer = await client.get(f"{address}/doctor", headers=headers)
    except httpx2.TransportError as failure:
        if isinstance(failure, httpx2.RemoteProtocolError):
            return Part([_port_taken(address, settings)])
        detail = f"No server answers at {address}, so only the database was examined: {failure}."
        return Part([note(FindingCode.SERVER_UNREACHABLE, detail, "agentq serve")])
    try:
        body = answer.json()
        if answer.status_code == 200:
            return Part(report=Report.model_validate(body))
        code = str(body["code"])
    except (ValueError, KeyError, TypeError, ValidationError):
        return Part([_port_taken(address, settings)])
    detail = f"The server at {address} did not answer GET /doctor: {code}. It needs a key with the scope admin."
    return Part([note(FindingCode.SERVER_UNREACHABLE, detail, f"{API_KEY}=... agentq doctor")])


def _port_taken(address: str, settings: Settings) -> Finding:
    detail = f"What answers at {address} is not this server."
    return error(FindingCode.PORT_TAKEN, detail, f"PORT={settings.port + 1} agentq serve")


async def _examine_database(settings: Settings) -> Part:
    """Examine the database itself. No database is made for this."""
    url = settings.database_url
    if url == "memory://":
        cure = "DATABASE_URL=sqlite:///data/agent_queue.db agentq serve"
        return Part(
            [warning(FindingCode.STORE_VOLATILE, "DATABASE_URL is memory://: no message survives its server.", cure)],
            [Unchecked(check="database", reason="A database in memory is examined by its server only.")],
        )
    if _is_missing_file(url):
        reason = f"The file {url.removeprefix(SQLITE)} does not exist yet. The server makes it."
        return Part(unchecked=[Unchecked(check="database", reason=reason)])
    try:
        await check_store(settings)
    except StoreRefused as failure:
        return Part([_unusable(failure, url)])
    except StoreUnavailable as failure:
        return Part([error(FindingCode.DATABASE_AWAY, f"{failure}", "agentq doctor  # again, when the database runs")])
    except AgentQueueError as failure:
        return Part([_unusable(failure, url)])
    store = make_store(settings)
    await store.open()
    try:
        return Part(report=await examine_store(store, settings, tenant=None))
    finally:
        await store.close()


def _is_missing_file(url: str) -> bool:
    return url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()


def _unusable(failure: AgentQueueError, url: str) -> Finding:
    """Return the finding for a database that no later try opens."""
    if named := re.search(r"`(pip install [^`]+)`", str(failure)):
        cure = named[1]
    elif url.startswith(SQLITE):
        cure = "DATABASE_URL=sqlite:///data/another.db agentq serve  # or restore it from a backup"
    else:  # another file would be an empty queue beside the one on the server
        cure = "DATABASE_URL=... agentq doctor  # after its URL, password or server was corrected"
    return error(FindingCode.DATABASE_UNUSABLE, f"{failure}", cure)


def show(found: Report, terminal: Terminal) -> None:
    """Write a report for people, in colours if they see it on a terminal."""
    from rich.text import Text

    console = terminal.console(terminal.stdout)
    console.soft_wrap = True
    for each in found.findings:
        head = Text.assemble((f"{each.severity}", COLOURS[each.severity]), "  ", (each.code, "bold"), f"  {each.title}")
        console.print(head)
        console.print(Text(f"  {each.detail}\n  $ {each.cure}\n  {each.docs}\n"))
    for missed in found.unchecked:
        console.print(Text(f"unchecked  {missed.check}  {missed.reason}"))
    totals = [sum(each.severity is severity for each in found.findings) for severity in Severity]
    counts = ", ".join(counted(total, severity) for total, severity in zip(totals, Severity, strict=True))
    console.print(Text(f"{counted(found.checks, 'check')}: {counts}."))
