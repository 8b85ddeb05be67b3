"""Asks a server for its report, with the standard library alone: a client would take longer to import than all else."""

from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from typing_extensions import override

ASK_SECONDS = 15.0
"""How long a server may take to examine itself."""

MAX_REPORT_BYTES = 16 * 1024 * 1024


class NoHttp(Exception):
    """The answer is not HTTP."""


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect, since the API key is for this address only."""

    @override
    def redirect_request(self, *_: object) -> None:
        return None


def ask_for_report(address: str, key: str | None, *, proxied: bool) -> tuple[int, bytes]:
    """Return status and body of GET /doctor. `proxied` heeds the proxies of the environment.

    Raises OSError if no server answers, and NoHttp.
    """
    opener = build_opener(_NoRedirects, *([] if proxied else [ProxyHandler({})]))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = Request(f"{address}/doctor", headers=headers)  # noqa: S310  the command takes http and https only
    try:
        with opener.open(request, timeout=ASK_SECONDS) as reply:
            return reply.status, reply.read(MAX_REPORT_BYTES)
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read(MAX_REPORT_BYTES)
    except HTTPException as error:
        raise NoHttp from error
    except URLError as error:
        reason = error.reason
        raise (NoHttp() if isinstance(reason, HTTPException) else OSError(f"{reason}")) from error
    except ValueError as error:  # a host that no header can hold
        raise OSError(f"{error}") from error
