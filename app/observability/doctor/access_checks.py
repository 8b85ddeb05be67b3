"""Checks who may use the server."""

from collections.abc import Sequence
from datetime import timedelta

from ...models.diagnosis import Finding, FindingCode
from .findings import note, warning
from .sources import Sources

SOON = timedelta(days=7)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


async def this_host_only(sources: Sources) -> Sequence[Finding]:
    """Find that requests from elsewhere get 401, since there are no keys."""
    settings = sources.settings
    providers = (settings.jwt_jwks_url, settings.jwt_public_key, settings.proxy_user_header)
    if settings.allow_anonymous or any(providers) or settings.host in LOOPBACK or await sources.any_key():
        return []
    detail = "There are no API keys. Requests from other hosts, containers and proxies get 401."
    return [note(FindingCode.THIS_HOST_ONLY, detail, "agentq keys create --name first")]


async def open_to_all(sources: Sources) -> Sequence[Finding]:
    """Find that requests need no key."""
    if not sources.settings.allow_anonymous or sources.settings.host in LOOPBACK:
        return []
    detail = f"ALLOW_ANONYMOUS is true, and the server listens on {sources.settings.host}."
    return [warning(FindingCode.OPEN_TO_ALL, detail, "ALLOW_ANONYMOUS=false agentq serve")]


async def key_expires(sources: Sources) -> Sequence[Finding]:
    """Find API keys that expire within a week."""
    now = sources.now()
    return [
        warning(
            FindingCode.KEY_EXPIRES,
            f"The key {key.id} expires in {(key.expires_at - now) / timedelta(hours=1):.0f} hours.",
            "agentq keys create --name its-successor",
        )
        for key in await sources.keys()
        if key.expires_at is not None and key.revoked_at is None and now < key.expires_at < now + SOON
    ]
