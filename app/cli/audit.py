"""The command `agentq audit`, which exports the audit log."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ..models.audit import AuditAction, AuditFilter
from ..text import rfc3339
from .commands import group
from .store_command import StoreCommand, text, works_on_store

PAGE = 1000
MAX_LENGTH = 1_000
MAX_DIGITS = 18

app = group()


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS):
        raise typer.BadParameter("expected the number of a record")
    return int(given)


def _time(given: str) -> datetime:
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter("expected a time of RFC 3339, such as 2030-01-31T09:00:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


@app.command()
@works_on_store
async def audit(
    command: StoreCommand,
    *,
    tenant: Annotated[
        str | None, typer.Option(parser=text(MAX_LENGTH), metavar="TEXT", help="Only changes of this tenant's data.")
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            parser=text(MAX_LENGTH), metavar="TEXT",
            help="Only changes by this actor, such as key:ID, subject:NAME or local.",
        ),
    ] = None,
    action: Annotated[AuditAction | None, typer.Option(help="Only this action.")] = None,
    target: Annotated[
        str | None, typer.Option(parser=text(MAX_LENGTH), metavar="TEXT", help="Only changes of what has this id.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=_time, metavar="TIME", help="Only changes at this time or later, as RFC 3339."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=_time, metavar="TIME", help="Only changes before this time, as RFC 3339.")
    ] = None,
    after: Annotated[
        int | None, typer.Option(parser=_number, metavar="N", help="Continue after the record with this number.")
    ] = None,
) -> None:  # fmt: skip
    """Print the audit log as JSON lines, the oldest record first, straight from the database."""
    chosen = AuditFilter(tenant=tenant, actor=actor, action=action, target=target, since=since, until=until)
    while page := await command.store.list_audit(chosen, after=after, limit=PAGE, newest_first=False):
        for record in page:
            command.terminal.record({**record._asdict(), "at": rfc3339(record.at), "affected": record.affected})
        after = page[-1].number
