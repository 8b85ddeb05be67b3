"""The commands `agentq keys …`, which change API keys in the database."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from ..access.management import (
    DEFAULT_GRACE,
    DEFAULT_SCOPES,
    MAX_DAYS,
    MAX_NAME_LENGTH,
    IssuedKey,
    KeyManager,
)
from ..access.scopes import AccessScope
from ..config import signing_keys
from ..errors import InvalidRequest
from ..models.keys import ApiKey, KeyCounts, KeyLimits
from ..models.messages import DEFAULT_TENANT
from ..models.tenants import Quotas
from ..text import rfc3339
from .commands import group
from .counts import count_of
from .store_command import StoreCommand, tenant_name, text, works_on_store
from .terminal import Column, Terminal

PAGE = 1000

COLUMNS = (
    Column("ID"), Column("TENANT", least=75), Column("SCOPES", least=90), Column("STATE"), Column("NAME", is_long=True),
)  # fmt: skip

app = group()

LimitOption = Annotated[
    list[Any] | None,
    typer.Option(
        parser=count_of(KeyLimits._fields, 0), metavar="NAME=N",
        help=f"May be given several times: {', '.join(KeyLimits._fields)}. 0 stands for no limit.",
    ),
]  # fmt: skip
QuotaOption = Annotated[
    list[Any] | None,
    typer.Option(
        parser=count_of(Quotas._fields, 1), metavar="NAME=N",
        help=f"May be given several times: {', '.join(Quotas._fields)}.",
    ),
]  # fmt: skip
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `list` shows it.", show_default=False)]


def _shown(key: ApiKey) -> dict[str, Any]:
    """Return the fields of a key that may be shown."""
    times = ("created_at", "expires_at", "revoked_at", "last_used_at", "previous_until")
    fields = key._asdict()
    shown = {name: None if fields[name] is None else rfc3339(fields[name]) for name in times}
    webhook = {"webhook_url": key.webhook_url, "signs_webhooks": key.signs_webhooks}
    counts = {"limits": key.limits._asdict(), "quotas": key.quotas._asdict()}
    named = {"id": key.id, "tenant": key.tenant, "name": key.name, "scopes": list(key.scopes)}
    return {**named, **shown, **webhook, **counts}


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
        str, typer.Option(parser=tenant_name, metavar="TEXT", show_default=True)
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
        typer.Option(metavar="URL", help="The webhook of messages that are submitted with the key and name none."),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(
            parser=_signing_secret, metavar="whsec_…",
            help="Signs the webhooks of the key's messages. Default: the server's WEBHOOK_SECRET.",
        ),
    ] = None,
    limit: LimitOption = None,
    quota: QuotaOption = None,
) -> None:  # fmt: skip
    """Make a key and print it; it cannot be shown again."""
    store = command.store
    expires_at = None if days is None else store.now() + timedelta(days=days)
    if webhook_url is not None:
        from ..webhooks.outbound_http import check_webhook_url

        await check_webhook_url(webhook_url, allow_private=command.settings.webhook_allow_private)
    issued = await KeyManager(store).create(
        tenant, name, scope or DEFAULT_SCOPES, expires_at, webhook_url=webhook_url, webhook_secret=webhook_secret,
        counts=KeyCounts(KeyLimits(**dict(limit or ())), Quotas(**dict(quota or ()))),
    )  # fmt: skip
    _show_issued(command.terminal, issued)


@app.command("list")
@works_on_store
async def list_keys(command: StoreCommand) -> None:
    """List the keys of all tenants, also expired and revoked ones."""
    keys: list[ApiKey] = []
    while page := await KeyManager(command.store).list(None, after=keys[-1].id if keys else "", limit=PAGE):
        keys += page
    if command.terminal.as_json:
        for key in keys:
            command.terminal.record(_shown(key))
        return
    now = command.store.now()
    rows = [(key.id, key.tenant, ",".join(key.scopes), _state(key, now), key.name) for key in keys]
    command.terminal.table(COLUMNS, rows)


@app.command("set")
@works_on_store
async def set_key(
    command: StoreCommand, key_id: KeyId, *, limit: LimitOption = None, quota: QuotaOption = None
) -> None:
    """Change limits and quotas of a key; `default` gives one its default. Running servers follow in seconds."""
    if not (limit or quota):
        raise InvalidRequest("Nothing to change: give --limit, --quota or both.")
    given = {"limits": limit, "quotas": quota}
    key = await KeyManager(command.store).change(
        None, key_id, {name: dict(each) for name, each in given.items() if each}
    )
    if command.terminal.as_json:
        command.terminal.record(_shown(key))
    else:
        command.terminal.line(f"Changed {key.id}")


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
) -> None:
    """Give a key a new secret and print it; the present one stays good for a while."""
    issued = await KeyManager(command.store).rotate(None, key_id, timedelta(hours=grace_hours))
    _show_issued(command.terminal, issued)


@app.command()
@works_on_store
async def revoke(command: StoreCommand, key_id: KeyId) -> None:
    """Revoke a key at once and for good, in every process."""
    key = await KeyManager(command.store).revoke(None, key_id)
    if command.terminal.as_json:
        command.terminal.record(_shown(key))
    else:
        command.terminal.line(f"Revoked {key.id}")


def _show_issued(terminal: Terminal, issued: IssuedKey) -> None:
    """Print the text of a key on a line of its own, the only one on standard output."""
    if terminal.as_json:
        terminal.record({**_shown(issued.key), "key": issued.text})
        return
    terminal.line(issued.text)
    terminal.note("Keep this key now: it cannot be shown again.")
