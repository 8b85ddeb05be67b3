"""The commands `agentq tenants …`, which change the settings of tenants in the database."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from ..access.tenants import TenantManager
from ..models.tenants import (
    MAX_RETENTION_DAYS,
    MAX_RETENTION_HOURS,
    MAX_WEIGHT,
    MIN_RETENTION,
    MIN_WEIGHT,
    Quotas,
    Tenant,
    TenantLimits,
    fields_of,
    given_of,
)
from ..text import rfc3339
from .commands import group
from .counts import DEFAULT, Given, count_of
from .store_command import StoreCommand, tenant_name, works_on_store
from .terminal import Column

PAGE = 1000
COLUMNS = (
    Column("TENANT"), Column("WEIGHT"), Column("LIMITS", is_long=True), Column("QUOTAS", least=100),
    Column("RETENTION", least=100),
)  # fmt: skip

app = group()

Name = Annotated[
    str,
    typer.Argument(metavar="TENANT", parser=tenant_name, help="The tenant's name.", show_default=False),
]


def _shown(record: Tenant) -> dict[str, Any]:
    """Return the fields of a record as JSON has them."""
    times = {"created_at": rfc3339(record.created_at), "changed_at": rfc3339(record.changed_at)}
    return {"tenant": record.tenant, **fields_of(record.settings), **times}


def _counts(counts: TenantLimits | Quotas) -> str:
    return ", ".join(f"{name}={value}" for name, value in given_of(counts).items())


def _quotas(record: Tenant) -> str:
    of_subjects = _counts(record.settings.subject_quotas)
    return "; ".join(
        filter(None, (_counts(record.settings.quotas), of_subjects and f"for each end user {of_subjects}"))
    )


def _retention(record: Tenant) -> str:
    days, hours = record.settings.retention_days, record.settings.event_retention_hours
    return ", ".join(
        f"{value:g} {unit}" for value, unit in ((days, "days"), (hours, "hours of events")) if value is not None
    )


def _number(least: float, most: float) -> Callable[[str], Given]:
    """Return a parser of a number in a range, or of `default`."""

    def number(given: str) -> Given:
        if given == DEFAULT:
            return "", None
        try:
            value = float(given)
        except ValueError:
            value = -1
        if not least <= value <= most:  # also refuses NaN
            raise typer.BadParameter(f"expected a number from {least:g} to {most:g}, or {DEFAULT}")
        return "", value

    return number


@app.command("list")
@works_on_store
async def list_tenants(command: StoreCommand) -> None:
    """List the tenants that have settings of their own."""
    records: list[Tenant] = []
    while page := await _manager(command).list(after=records[-1].tenant if records else "", limit=PAGE):
        records += page
    if command.terminal.as_json:
        for each in records:
            command.terminal.record(_shown(each))
        return
    command.terminal.table(
        COLUMNS,
        [
            (each.tenant, f"{each.settings.weight:g}", _counts(each.settings.limits), _quotas(each), _retention(each))
            for each in records
        ],
    )


@app.command()
@works_on_store
async def show(command: StoreCommand, tenant: Name) -> None:
    """Show the settings of a tenant."""
    _show(command, await _manager(command).get(tenant))


@app.command("set")
@works_on_store
async def set_tenant(
    command: StoreCommand,
    tenant: Name,
    *,
    weight: Annotated[
        Any,
        typer.Option(
            parser=_number(MIN_WEIGHT, MAX_WEIGHT), metavar="N", help="The share of the workers beside other tenants."
        ),
    ] = None,
    limit: Annotated[
        list[Any] | None,
        typer.Option(
            parser=count_of(TenantLimits._fields, 0), metavar="NAME=N",
            help=f"May be given several times: {', '.join(TenantLimits._fields)}. 0 stands for no limit.",
        ),
    ] = None,
    quota: Annotated[
        list[Any] | None,
        typer.Option(
            parser=count_of(Quotas._fields, 1), metavar="NAME=N",
            help=f"May be given several times: {', '.join(Quotas._fields)}.",
        ),
    ] = None,
    subject_quota: Annotated[
        list[Any] | None,
        typer.Option(parser=count_of(Quotas._fields, 1), metavar="NAME=N", help="The same for each end user."),
    ] = None,
    retention_days: Annotated[
        Any,
        typer.Option(
            parser=_number(MIN_RETENTION, MAX_RETENTION_DAYS), metavar="N", help="Days to keep finished messages."
        ),
    ] = None,
    event_retention_hours: Annotated[
        Any,
        typer.Option(
            parser=_number(MIN_RETENTION, MAX_RETENTION_HOURS), metavar="N", help="Hours to keep their events."
        ),
    ] = None,
) -> None:  # fmt: skip
    """Change settings of a tenant; `default` gives a setting its default. Running servers follow in seconds."""
    numbers = {"weight": weight, "retention_days": retention_days, "event_retention_hours": event_retention_hours}
    counts = {"limits": limit, "quotas": quota, "subject_quotas": subject_quota}
    changes: Mapping[str, Any] = {
        **{name: given[1] for name, given in numbers.items() if given is not None},
        **{name: dict(given) for name, given in counts.items() if given},
    }
    _show(command, await _manager(command).change(tenant, changes))


def _manager(command: StoreCommand) -> TenantManager:
    return TenantManager(command.store, max_queue_size=command.settings.max_queue_size)


def _show(command: StoreCommand, record: Tenant) -> None:
    if command.terminal.as_json:
        command.terminal.record(_shown(record))
        return
    settings = record.settings
    command.terminal.fields(
        [("tenant", record.tenant), ("weight", f"{settings.weight:g}"), ("limits", _counts(settings.limits)),
         ("quotas", _counts(settings.quotas)), ("for each end user", _counts(settings.subject_quotas)),
         ("retention", _retention(record)), ("changed", rfc3339(record.changed_at))]
    )  # fmt: skip
