"""The commands `agentq storage …`."""

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import ListsByDefault, group
from .session import MAX_LIST, Session, asks_server
from .terminal import Column, jsonable
from .texts import size, stamp

if TYPE_CHECKING:
    from ..client.models import StorageReport, StoredSizes, ThreadStorage

app = group(ListsByDefault)

SIZES = (
    Column("MESSAGES"), Column("CONTENT", least=90), Column("EVENTS", least=75), Column("LOGS", least=90),
    Column("MEMORY", least=75),
)  # fmt: skip
TENANTS = (
    Column("TENANT", is_long=True), Column("TOTAL"), Column("THREADS"), *SIZES, Column("ITEMS", least=100),
    Column("KEPT", least=110),
)  # fmt: skip
THREADS = (Column("THREAD", is_long=True), Column("TOTAL"), *SIZES)
AREAS = Column("NAME", is_long=True), Column("SIZE"), Column("ROWS")
SETTINGS = Column("NAME"), Column("VALUE"), Column("MEANING", is_long=True)

Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="This tenant. Others than your own need `admin`.")]
MaxAge = Annotated[
    float | None,
    typer.Option(min=0, max=86_400, metavar="SECONDS", help="Measure anew what was measured longer ago. Default: 60."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Show what is measured so far, even if it is not complete.")]
Limit = Annotated[int, typer.Option(min=1, max=MAX_LIST, help="How many to show.", show_default=True)]
ThreadId = Annotated[str, typer.Argument(metavar="ID", help="The id of a thread.", show_default=False)]


@app.command("list")
@asks_server
def list_tenants(session: Session, *, tenant: Tenant = None, max_age: MaxAge = None, no_wait: NoWait = False) -> int:
    """Show what each tenant stores: with `admin` all, else your own."""
    tenants = list(_report(session, tenant, max_age, no_wait=no_wait).tenants)
    if tenant is None and len(tenants) == 100:  # a report has no more
        tenants = list(session.client.storage.tenants(max_age=max_age))
    if session.terminal.as_json:
        for each in tenants:
            session.terminal.record(jsonable(each))
        return 0
    rows = [
        (
            each.tenant, size(each.total_bytes), f"{each.threads:,}", *_cells(each), f"{each.items:,}",
            f"{each.retention_days:g} d",
        )
        for each in tenants
    ]  # fmt: skip
    session.terminal.table(TENANTS, rows)
    return 0


@app.command()
@asks_server
def threads(
    session: Session,
    *,
    tenant: Tenant = None,
    max_age: MaxAge = None,
    no_wait: NoWait = False,
    limit: Limit = 20,
) -> int:
    """Show the largest conversations of a tenant, the largest first. A server knows the 1,000 largest ones."""
    tenant = tenant or session.client.server.caller().tenant
    _report(session, tenant, max_age, no_wait=no_wait)
    found = list(islice(session.client.storage.threads(tenant=tenant, limit=min(limit, 1000)), limit))
    if session.terminal.as_json:
        for each in found:
            session.terminal.record(jsonable(each))
        return 0
    session.terminal.table(THREADS, [(each.thread_id, size(each.total_bytes), *_cells(each)) for each in found])
    return 0


@app.command()
@asks_server
def thread(session: Session, thread_id: ThreadId, *, max_age: MaxAge = None, no_wait: NoWait = False) -> int:
    """Show what a conversation stores."""

    def measured(age: float | None) -> "ThreadStorage":
        return session.client.storage.thread(thread_id, max_age=age)

    found: ThreadStorage = _complete(
        session, measured, lambda each: each.complete and not each.measuring, max_age, no_wait=no_wait
    )
    if session.terminal.as_json:
        session.terminal.record(jsonable(found))
        return 0
    session.terminal.fields(
        [("id", found.thread_id), ("total", size(found.total_bytes)),
         ("messages", f"{found.messages:,}, {size(found.message_bytes)}"),
         ("events", f"{found.events:,}, {size(found.event_bytes)}"), ("memory", size(found.memory_bytes)),
         ("measured", stamp(found.as_of))]
    )  # fmt: skip
    return 0


@app.command()
@asks_server
def engine(session: Session) -> int:
    """Show what the database uses up, with indexes and free space. Needs `admin`."""
    areas = session.client.storage.report(tenant=session.client.server.caller().tenant).engine or []
    if session.terminal.as_json:
        for each in areas:
            session.terminal.record(jsonable(each))
        return 0
    rows = [(each.name, size(each.bytes), "" if each.rows is None else f"{each.rows:,}") for each in areas]
    session.terminal.table(AREAS, rows)
    return 0


@app.command()
@asks_server
def settings(session: Session) -> int:
    """Show the settings of the server that decide how much is kept, and for how long."""
    found = session.client.storage.report(tenant=session.client.server.caller().tenant).settings
    if session.terminal.as_json:
        for each in found:
            session.terminal.record(jsonable(each))
        return 0
    session.terminal.table(SETTINGS, [(each.name, f"{each.value:,.10g}", each.meaning) for each in found])
    return 0


def _cells(sizes: "StoredSizes") -> tuple[str, ...]:
    counts = (f"{sizes.messages:,}", size(sizes.message_bytes), f"{sizes.events:,}", size(sizes.event_bytes))
    return *counts, size(sizes.memory_bytes)


def _report(session: Session, tenant: str | None, max_age: float | None, *, no_wait: bool) -> "StorageReport":
    """Return a report whose measurements are complete."""
    found: StorageReport = _complete(
        session,
        lambda age: session.client.storage.report(tenant=tenant, max_age=age),
        lambda report: all(each.complete and not each.measuring for each in report.tenants),
        max_age,
        no_wait=no_wait,
    )
    return found


def _complete(
    session: Session,
    ask: Callable[[float | None], Any],
    is_complete: Callable[[Any], bool],
    max_age: float | None,
    *,
    no_wait: bool,
) -> Any:
    """Ask until the reply is complete. The server waits some seconds for its measurements before each reply."""
    began = time.monotonic()
    found = ask(max_age)
    while not is_complete(found) and not no_wait:
        if session.terminal.shows_progress:
            session.terminal.note(f"Measuring for {time.monotonic() - began:.0f} s.")
        # A measurement that began after this command did is new enough.
        found = ask(None if max_age is None else max_age + time.monotonic() - began)
    return found
