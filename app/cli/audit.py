"""The command `agentq audit`, which exports the audit log."""

import argparse
import json
from datetime import UTC, datetime
from functools import partial

from ..models.audit import AuditAction, AuditFilter
from ..store.ports import Store
from ..text import rfc3339
from .store_command import command_on_store, text

PAGE = 1000
MAX_LENGTH = 1_000
MAX_DIGITS = 18


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `audit`."""
    about = "print the audit log as JSON lines, the oldest record first, straight from the database"
    parser = commands.add_parser("audit", help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.add_argument("--tenant", type=text(MAX_LENGTH), help="only changes of this tenant's data")
    parser.add_argument(
        "--actor", type=text(MAX_LENGTH), help="only changes by this actor, such as key:ID, subject:NAME or local"
    )
    parser.add_argument("--action", type=AuditAction, choices=list(AuditAction), help="only this action")
    parser.add_argument("--target", type=text(MAX_LENGTH), help="only changes of what has this id")
    parser.add_argument("--since", type=_time, help="only changes at this time or later, as RFC 3339")
    parser.add_argument("--until", type=_time, help="only changes before this time, as RFC 3339")
    parser.add_argument("--after", type=_number, help="continue after the record with this number")
    parser.set_defaults(command_of=partial(command_on_store, _export))


async def _export(arguments: argparse.Namespace, store: Store) -> None:
    chosen = AuditFilter(*(getattr(arguments, name) for name in AuditFilter._fields))
    after: int | None = arguments.after
    while page := await store.list_audit(chosen, after=after, limit=PAGE, newest_first=False):
        for record in page:
            shown = {**record._asdict(), "at": rfc3339(record.at), "affected": record.affected}
            arguments.output.write(json.dumps(shown) + "\n")
        after = page[-1].number


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS):
        raise argparse.ArgumentTypeError("expected the number of a record")
    return int(given)


def _time(given: str) -> datetime:
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise argparse.ArgumentTypeError("expected a time of RFC 3339, such as 2030-01-31T09:00:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
