"""The command `agentq doctor`, which finds faults of the queue and names their cures."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from ..config import Settings, load_settings, misspelt_settings, share_environment
from ..doctor import examine_store
from ..errors import AgentQueueError, ConfigurationError, StoreRefused, StoreUnavailable
from ..models.diagnosis import Finding, FindingCode, Report, Severity, Unchecked
from ..observability.doctor.findings import counted, error, note, report, warning
from ..startup import open_store, start_logging
from ..store.factory import SQLITE
from .commands import group
from .failures import Failure, Place, unexpected
from .options import AS_JSON, DEBUG, run_to_end, with_options
from .server_report import NoHttp, ask_for_report
from .session import API_KEY_FILE, key_in
from .terminal import Terminal, on_line

app = group()

API_KEYS = ("AGENTQ_API_KEY", "AGENT_QUEUE_API_KEY")
"""Names of environment variables with a key of the scope `admin`, for servers that have keys. The first one counts."""

WITH_KEY = f"{API_KEYS[0]}=... agentq doctor"

LOCAL_CHECKS = 5
"""Number of checks that this command makes itself: settings, names in .env, the port, the server, the database."""

HEALTHY, UNHEALTHY, NOT_RUN = 0, 1, 2

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


class Caller(NamedTuple):
    """The terminal of the command, and the API key to ask with, None without one."""

    terminal: Terminal
    key: str | None


class Part(NamedTuple):
    """The findings of one of the local checks."""

    findings: Sequence[Finding] = ()
    unchecked: Sequence[Unchecked] = ()
    report: Report | None = None


def _address(given: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", given):
        raise typer.BadParameter("expected the address of a server, such as http://localhost:8000")
    return given


def examines(function: Callable[..., int]) -> Callable[..., int]:
    """Give the command its common options. Only the report is on standard output, no log lines."""

    def run(ctx: typer.Context, options: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        terminal: Terminal = ctx.obj

        def examined() -> int:
            key = key_in(options["api_key_file"]) or next(filter(None, map(os.environ.get, API_KEYS)), None)
            with redirect_stdout(terminal.stderr):
                return function(Caller(terminal, key), **given)

        return run_to_end(terminal, options, examined, _explain)

    return with_options(function, {"api_key_file": API_KEY_FILE, "as_json": AS_JSON, "debug": DEBUG}, run)


def _explain(failure: Exception) -> Failure:
    if isinstance(failure, Failure):
        return failure
    found = unexpected(failure, Place("doctor"))
    said = f"The examination could not be made. {found.message}"
    return Failure("examination_failed", said, found.fix, exit_code=NOT_RUN)


async def _examined(url: str | None, key: str | None) -> Report:
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
    parts = [Part(names), await _ask_server(url, key, settings), await _examine_database(settings)]
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


async def _ask_server(url: str | None, key: str | None, settings: Settings) -> Part:
    """Ask the server for its report. Say why not if it gives none."""
    address = (url or f"http://localhost:{settings.port}").rstrip("/")
    if key is not None and not (key.isascii() and key.isprintable()):
        detail = f"The API key has characters that no key has, so the server at {address} was not asked."
        return Part([note(FindingCode.SERVER_UNREACHABLE, detail, WITH_KEY)])
    try:
        status, body = await asyncio.to_thread(ask_for_report, address, key, proxied=url is not None)
    except NoHttp:
        return Part([_port_taken(address, settings)])
    except OSError as failure:
        detail = f"No server answers at {address}, so only the database was examined: {failure}."
        return Part([note(FindingCode.SERVER_UNREACHABLE, detail, "agentq serve")])
    try:
        if status == HTTPStatus.OK:
            return Part(report=Report.model_validate_json(body))
        code = str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Part([_port_taken(address, settings)])
    detail = f"The server at {address} did not answer GET /doctor: {code}. It needs a key with the scope admin."
    return Part([note(FindingCode.SERVER_UNREACHABLE, detail, WITH_KEY)])


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
        async with open_store(settings) as store:
            return Part(report=await examine_store(store, settings, tenant=None))
    except StoreRefused as failure:
        return Part([_unusable(failure, url)])
    except StoreUnavailable as failure:
        return Part([error(FindingCode.DATABASE_AWAY, f"{failure}", "agentq doctor  # again, when the database runs")])
    except AgentQueueError as failure:
        return Part([_unusable(failure, url)])


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
    for each in found.findings:
        head = (f"{each.severity}", COLOURS[each.severity]), "  ", (each.code, "bold")
        if len(f"{each.severity}  {each.code}  {each.title}") <= terminal.width or not terminal.shows_data:
            terminal.styled(*head, f"  {each.title}")
        else:
            terminal.styled(*head)
            terminal.paragraph(each.title, indent=2)
        terminal.paragraph(on_line(each.detail), indent=2)
        terminal.line(f"  $ {on_line(each.cure)}\n  {each.docs}\n")
    for missed in found.unchecked:
        terminal.line(f"unchecked  {missed.check}  {on_line(missed.reason)}")
    totals = [sum(each.severity is severity for each in found.findings) for severity in Severity]
    counts = ", ".join(counted(total, severity) for total, severity in zip(totals, Severity, strict=True))
    terminal.line(f"{counted(found.checks, 'check')}: {counts}.")


@app.command()
@examines
def doctor(
    caller: Caller,
    *,
    url: Annotated[
        str | None,
        typer.Option(
            parser=_address,
            envvar="AGENTQ_URL",
            metavar="URL",
            help="The server to examine from inside. Default: http://localhost:PORT.",
        ),
    ] = None,
) -> int:
    """Find faults of the queue, its database and its server, and name their cures.

    Exit code 0: no errors were found; 1: there are errors; 2: the examination could not be made. If the server has API
    keys, AGENTQ_API_KEY must be one with the scope admin.
    """
    found = asyncio.run(_examined(url, caller.key))
    if caller.terminal.as_json:
        caller.terminal.record(found.model_dump(mode="json"))
    else:
        show(found, caller.terminal)
    return HEALTHY if found.healthy else UNHEALTHY
