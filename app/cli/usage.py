"""The command `agentq usage`, which exports usage and cost as CSV."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ..access.limits import LimitRules, SubmitLimits
from ..access.management import KeyManager
from ..access.principals import ANONYMOUS
from ..access.quotas import QuotaChecks, QuotaUse
from ..errors import InvalidRequest
from ..models.messages import DEFAULT_TENANT
from ..models.usage import UsageFilter, UsageGroup
from ..policy.usage_table import checked_groups, csv_head, csv_lines, usage_row, whole_hour
from ..text import rfc3339
from ..usage_manager import UsageManager
from .commands import group
from .store_command import StoreCommand, text, works_on_store
from .terminal import Column

MAX_LENGTH = 255

QUOTA_COLUMNS = (
    Column("OF"), Column("UNIT"), Column("PERIOD"), Column("LIMIT"), Column("USED"), Column("LEFT"),
    Column("NEXT PERIOD", least=75),
)  # fmt: skip

app = group()


def _groups(given: str) -> frozenset[UsageGroup]:
    try:
        return checked_groups(given)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error).removeprefix("group_by: ")) from None


def _hour(given: str) -> datetime:
    try:
        time = datetime.fromisoformat(given)
        return whole_hour(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected a date or a whole hour, such as 2030-01-31T09:00:00Z") from None


def _only(of: str) -> Any:
    return typer.Option(parser=text(MAX_LENGTH, least=1), metavar="TEXT", help=f"Only usage {of}.")


@app.command()
@works_on_store
async def usage(
    command: StoreCommand,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_hour, metavar="TIME", help="Only usage at this hour or later: a date, or a time of RFC 3339."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=_hour, metavar="TIME", help="Only usage before this hour.")
    ] = None,
    group_by: Annotated[
        frozenset[UsageGroup],
        typer.Option(
            parser=_groups, metavar="GROUPS", help=f"Some of {', '.join(UsageGroup)}, separated by commas."
        ),
    ] = "day",  # type: ignore[assignment]  # parsed like an argument
    tenant: Annotated[str | None, _only("of this tenant")] = None,
    key: Annotated[str | None, _only("of messages that were submitted with this API key")] = None,
    subject: Annotated[str | None, _only("of messages of this end user")] = None,
    agent: Annotated[str | None, _only("of messages for this agent")] = None,
    model: Annotated[str | None, _only("of calls of this model")] = None,
    quotas: Annotated[
        bool,
        typer.Option(
            "--quotas",
            help="Print what is left of the quotas of --tenant or the tenant of --key, of that key, and of --subject.",
        ),
    ] = False,
) -> None:  # fmt: skip
    """Print what model calls used and cost, as CSV or with --json as JSON lines, straight from the database."""
    if quotas:
        if (since, until, agent, model) != (None,) * 4 or group_by != {UsageGroup.DAY}:
            raise InvalidRequest("--quotas: expected it with --tenant, --key and --subject only")
        await _print_quotas(command, tenant, key, subject)
        return
    manager = UsageManager(command.store, QuotaChecks(command.store, SubmitLimits(command.store, LimitRules())))
    window = manager.window(since, until)
    pages = manager.pages(ANONYMOUS, UsageFilter(*window, tenant, key, subject, agent, model), group_by)
    terminal = command.terminal
    if terminal.as_json:
        async for part in pages:
            for each in part:
                row = usage_row(group_by, each)
                terminal.record(row if UsageGroup.HOUR not in group_by else row | {"hour": rfc3339(row["hour"])})
        return
    terminal.put(csv_head(group_by))
    async for part in pages:
        terminal.put(csv_lines(group_by, part))


async def _print_quotas(command: StoreCommand, tenant: str | None, key_id: str | None, subject: str | None) -> None:
    store = command.store
    caller = ANONYMOUS._replace(tenant=tenant or DEFAULT_TENANT)
    if key_id is not None:
        key = await KeyManager(store).get(tenant, key_id)
        caller = ANONYMOUS._replace(tenant=key.tenant, key_id=key.id, key_quotas=key.quotas)
    checks = QuotaChecks(store, SubmitLimits(store, LimitRules()))
    rows = [_fields_of(each) for each in await checks.uses(caller.tenant, caller, subject)]
    if command.terminal.as_json:
        for row in rows:
            command.terminal.record(row)
        return
    command.terminal.table(QUOTA_COLUMNS, [list(map(str, row.values())) for row in rows])


def _fields_of(use: QuotaUse) -> dict[str, Any]:
    """Return a quota as JSON has it."""
    return {
        "of": use.limited.name.lower(),
        "unit": use.unit,
        "period": use.period.value,
        "limit": use.limit,
        "used": use.used,
        "left": use.left,
        "resets_at": rfc3339(use.resets_at),
    }
