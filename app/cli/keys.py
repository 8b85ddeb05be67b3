"""The commands `agentq keys …`, which change API keys in the database."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

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
from ..text import rfc3339
from ..webhooks.outbound_http import check_webhook_url
from .commands import group
from .store_command import AsJson, StoreCommand, text, works_on_store
from .terminal import Terminal

PAGE = 1000

app = group()

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `list` shows it.", show_default=False)]


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
        raise typer.BadParameter(str(error)) from None
    return given


def _amount(most: float) -> Callable[[str], float]:
    def amount(given: str) -> float:
        try:
            number = float(given)
        except ValueError:
            number = -1
        if not 0 <= number <= most:  # also refuses NaN
            raise typer.BadParameter(f"expected a number from 0 to {most:g}")
        return number

    return amount


@app.command()
@works_on_store
async def create(
    command: StoreCommand,
    *,
    name: Annotated[
        str, typer.Option(parser=text(MAX_NAME_LENGTH), metavar="TEXT", help="What the key is for.")
    ] = "",
    tenant: Annotated[
        str, typer.Option(parser=text(MAX_TENANT_LENGTH, least=1), metavar="TEXT", show_default=True)
    ] = DEFAULT_TENANT,
    scope: Annotated[
        list[AccessScope] | None,
        typer.Option(help=f"May be given several times. Default: {', '.join(DEFAULT_SCOPES)}."),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(
            parser=_amount(MAX_DAYS), metavar="N", help="Let the key expire after so many days. Default: never."
        ),
    ] = None,
    webhook_url: Annotated[
        str | None,
        typer.Option(help="The webhook of messages that are submitted with the key and name none."),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(
            parser=_signing_secret, metavar="whsec_…",
            help="Signs the webhooks of the key's messages. Default: the server's WEBHOOK_SECRET.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a key and print it; it cannot be shown again."""
    store = command.store
    expires_at = None if days is None else store.now() + timedelta(days=days)
    if webhook_url is not None:
        await check_webhook_url(webhook_url, allow_private=command.settings.webhook_allow_private)
    issued = await KeyManager(store).create(
        tenant, name, scope or DEFAULT_SCOPES, expires_at, webhook_url=webhook_url, webhook_secret=webhook_secret
    )
    _show_issued(command.terminal, issued, as_json=as_json)


@app.command("list")
@works_on_store
async def list_keys(command: StoreCommand, *, as_json: AsJson = False) -> None:
    """List the keys of all tenants, also expired and revoked ones."""
    keys: list[ApiKey] = []
    while page := await KeyManager(command.store).list(None, after=keys[-1].id if keys else "", limit=PAGE):
        keys += page
    if as_json:
        command.terminal.record([_shown(key) for key in keys])
        return
    now = command.store.now()
    for key in keys:
        fields = (key.id, key.tenant, ",".join(key.scopes), _state(key, now), json.dumps(key.name))
        command.terminal.line("  ".join(fields))


@app.command()
@works_on_store
async def rotate(
    command: StoreCommand,
    key_id: KeyId,
    *,
    grace_hours: Annotated[
        float,
        typer.Option(
            parser=_amount(24 * MAX_DAYS), metavar="N", help="How long the present secret stays good. Default: 24."
        ),
    ] = DEFAULT_GRACE
    / timedelta(hours=1),
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and print it; the present one stays good for a while."""
    issued = await KeyManager(command.store).rotate(None, key_id, timedelta(hours=grace_hours))
    _show_issued(command.terminal, issued, as_json=as_json)


@app.command()
@works_on_store
async def revoke(command: StoreCommand, key_id: KeyId, *, as_json: AsJson = False) -> None:
    """Revoke a key at once and for good, in every process."""
    key = await KeyManager(command.store).revoke(None, key_id)
    if as_json:
        command.terminal.record(_shown(key))
    else:
        command.terminal.line(f"Revoked {key.id}")


def _show_issued(terminal: Terminal, issued: IssuedKey, *, as_json: bool) -> None:
    """Print the text of a key on a line of its own, the only one on standard output."""
    if as_json:
        terminal.record({**_shown(issued.key), "key": issued.text})
        return
    terminal.line(issued.text)
    terminal.note("Keep this key now: it cannot be shown again.")
