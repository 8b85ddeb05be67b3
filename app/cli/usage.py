"""The command `agentq usage`, which exports usage and cost as CSV."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ..access.principals import ANONYMOUS
from ..errors import InvalidRequest
from ..models.usage import UsageFilter, UsageGroup
from ..policy.usage_table import checked_groups, csv_head, csv_lines, whole_hour
from ..usage_manager import UsageManager
from .commands import group
from .store_command import StoreCommand, text, works_on_store

MAX_LENGTH = 255

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
) -> None:  # fmt: skip
    """Print what model calls used and cost as CSV, straight from the database."""
    manager = UsageManager(command.store)
    window = manager.window(since, until)
    output = command.terminal.stdout
    output.write(csv_head(group_by))
    async for part in manager.pages(ANONYMOUS, UsageFilter(*window, tenant, key, subject, agent, model), group_by):
        output.write(csv_lines(group_by, part))
