"""The commands `agentq keys …`, which change API keys in the database."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ..access.management import (
    DEFAULT_GRACE,
    DEFAULT_SCOPES,
    MAX_DAYS,
    MAX_NAME_LENGTH,
    MAX_TENANT_LENGTH,
    IssuedKey,
    KeyManager,
)
from ..access.scopes import AccessScope
from ..config import signing_keys
from ..models.keys import ApiKey
from ..models.messages import DEFAULT_TENANT
from ..store.ports import Store
from ..text import rfc3339
from ..webhooks.outbound_http import check_webhook_url
from .store_command import Action, command_on_store, text

PAGE = 1000


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `keys` with its own commands."""
    about = "make, list, rotate and revoke API keys, straight in the database"
    keys = commands.add_parser("keys", help=about, description=f"{about[0].upper()}{about[1:]}.")
    actions = keys.add_subparsers(dest="action", required=True, metavar="action")

    def action(name: str, run: Action, explanation: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}.")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(command_of=partial(command_on_store, run))
        return parser

    create = action("create", _create, "make a key and print it; it cannot be shown again")
    create.add_argument("--name", type=text(MAX_NAME_LENGTH), default="", help="what the key is for")
    create.add_argument(
        "--tenant", type=text(MAX_TENANT_LENGTH, least=1), default=DEFAULT_TENANT, help="default: %(default)s"
    )
    create.add_argument(
        "--scope", dest="scopes", type=AccessScope, choices=list(AccessScope), action="append",
        help=f"may be given several times; default: {', '.join(DEFAULT_SCOPES)}",
    )  # fmt: skip
    create.add_argument("--days", type=_amount(MAX_DAYS), help="let the key expire after so many days; default: never")
    create.add_argument("--webhook-url", help="the webhook of messages that are submitted with the key and name none")
    create.add_argument(
        "--webhook-secret", type=_signing_secret, metavar="whsec_…",
        help="signs the webhooks of the key's messages; default: the server's WEBHOOK_SECRET",
    )  # fmt: skip
    action("list", _list, "list the keys of all tenants, also expired and revoked ones")
    rotate = action("rotate", _rotate, "give a key a new secret and print it; the present one stays good for a while")
    rotate.add_argument("id", help="the id of the key, as `list` shows it")
    rotate.add_argument(
        "--grace-hours", type=_amount(24 * MAX_DAYS), default=DEFAULT_GRACE / timedelta(hours=1),
        help="how long the present secret stays good; default: %(default)g",
    )  # fmt: skip
    revoke = action("revoke", _revoke, "revoke a key at once and for good, in every process")
    revoke.add_argument("id", help="the id of the key, as `list` shows it")


async def _create(arguments: argparse.Namespace, store: Store) -> None:
    expires_at = None if arguments.days is None else store.now() + timedelta(days=arguments.days)
    scopes = arguments.scopes or DEFAULT_SCOPES
    if arguments.webhook_url is not None:
        await check_webhook_url(arguments.webhook_url, allow_private=arguments.allow_private_webhooks)
    issued = await KeyManager(store).create(
        arguments.tenant, arguments.name, scopes, expires_at,
        webhook_url=arguments.webhook_url, webhook_secret=arguments.webhook_secret,
    )  # fmt: skip
    _show_issued(arguments, issued)


async def _list(arguments: argparse.Namespace, store: Store) -> None:
    keys: list[ApiKey] = []
    while page := await KeyManager(store).list(None, after=keys[-1].id if keys else "", limit=PAGE):
        keys += page
    if arguments.json:
        arguments.output.write(json.dumps([_shown(key) for key in keys]) + "\n")
        return
    now = store.now()
    for key in keys:
        fields = (key.id, key.tenant, ",".join(key.scopes), _state(key, now), json.dumps(key.name))
        arguments.output.write("  ".join(fields) + "\n")


async def _rotate(arguments: argparse.Namespace, store: Store) -> None:
    grace = timedelta(hours=arguments.grace_hours)
    _show_issued(arguments, await KeyManager(store).rotate(None, arguments.id, grace))


async def _revoke(arguments: argparse.Namespace, store: Store) -> None:
    key = await KeyManager(store).revoke(None, arguments.id)
    arguments.output.write(json.dumps(_shown(key)) + "\n" if arguments.json else f"Revoked {key.id}\n")


def _show_issued(arguments: argparse.Namespace, issued: IssuedKey) -> None:
    """Print the text of a key on a line of its own, the only one on standard output."""
    if arguments.json:
        arguments.output.write(json.dumps({**_shown(issued.key), "key": issued.text}) + "\n")
        return
    arguments.output.write(f"{issued.text}\n")
    sys.stderr.write("Keep this key now: it cannot be shown again.\n")


def _shown(key: ApiKey) -> dict[str, Any]:
    """Return the fields of a key that may be shown."""
    times = ("created_at", "expires_at", "revoked_at", "last_used_at", "previous_until")
    fields = key._asdict()
    shown = {name: None if fields[name] is None else rfc3339(fields[name]) for name in times}
    webhook = {"webhook_url": key.webhook_url, "signs_webhooks": key.signs_webhooks}
    return {"id": key.id, "tenant": key.tenant, "name": key.name, "scopes": list(key.scopes), **shown, **webhook}


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {rfc3339(key.revoked_at)}"
    if key.expires_at is None:
        return "live"
    return f"{'expired' if key.expires_at <= now else 'expires'} {rfc3339(key.expires_at)}"


def _signing_secret(given: str) -> str:
    try:
        signing_keys(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return given


def _amount(most: float) -> Callable[[str], float]:
    def amount(given: str) -> float:
        try:
            number = float(given)
        except ValueError:
            number = -1
        if not 0 <= number <= most:  # also refuses NaN
            raise argparse.ArgumentTypeError(f"expected a number from 0 to {most:g}")
        return number

    return amount
