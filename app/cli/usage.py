"""The command `agentq usage`, which exports usage and cost as CSV."""

import argparse
from datetime import UTC, datetime
from functools import partial

from ..access.principals import ANONYMOUS
from ..errors import InvalidRequest
from ..models.usage import UsageFilter, UsageGroup
from ..policy.usage_table import checked_groups, csv_head, csv_lines, whole_hour
from ..store.ports import Store
from ..usage_manager import UsageManager
from .store_command import command_on_store, text

MAX_LENGTH = 255


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `usage`."""
    about = "print what model calls used and cost as CSV, straight from the database"
    parser = commands.add_parser("usage", help=about, description=f"{about[0].upper()}{about[1:]}.")
    groups = ", ".join(UsageGroup)
    parser.add_argument("--since", type=_hour, help="only usage at this hour or later: a date, or a time of RFC 3339")
    parser.add_argument("--until", type=_hour, help="only usage before this hour")
    parser.add_argument("--group-by", default="day", type=_groups, help=f"some of {groups}, separated by commas")
    for name, of in (
        ("tenant", "of this tenant"),
        ("key", "of messages that were submitted with this API key"),
        ("subject", "of messages of this end user"),
        ("agent", "of messages for this agent"),
        ("model", "of calls of this model"),
    ):
        parser.add_argument(f"--{name}", type=text(MAX_LENGTH, least=1), help=f"only usage {of}")
    parser.set_defaults(command_of=partial(command_on_store, _export))


async def _export(arguments: argparse.Namespace, store: Store) -> None:
    usage = UsageManager(store)
    window = usage.window(arguments.since, arguments.until)
    names = (arguments.tenant, arguments.key, arguments.subject, arguments.agent, arguments.model)
    arguments.output.write(csv_head(arguments.group_by))
    async for part in usage.pages(ANONYMOUS, UsageFilter(*window, *names), arguments.group_by):
        arguments.output.write(csv_lines(arguments.group_by, part))


def _groups(given: str) -> frozenset[UsageGroup]:
    try:
        return checked_groups(given)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("group_by: ")) from None


def _hour(given: str) -> datetime:
    try:
        time = datetime.fromisoformat(given)
        return whole_hour(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("expected a date or a whole hour, such as 2030-01-31T09:00:00Z") from None
