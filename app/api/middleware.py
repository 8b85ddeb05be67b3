"""What is done to every request before it is routed, without touching its reply."""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import response_to

logger = logging.getLogger(__name__)


class RawThreadPaths:
    """Routes `/threads/…` by the path as it was sent, so that `%2F` in a thread id is no separator.

    The id is decoded by `app.api.deps.thread_id_in_path`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await self._app(routed(scope), receive, send)


def routed(scope: Scope) -> Scope:
    """Return the scope with the path by which it is routed."""
    raw = scope.get("raw_path")
    if raw is not None and scope["path"].startswith(f"{scope.get('root_path', '')}/threads/"):
        return {**scope, "path": raw.decode("ascii", "replace")}
    return scope


class HotRoute:
    """Answers one method and path ahead of the framework's stack.

    That costs more time than the rest of a submit, and more memory than the rest of a stream. The same is registered
    with the framework as well: that describes it, and serves it should this be taken out. Measured with
    `python -m bench submit idle`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        query_refusal: Callable[[Scope], Response | None],
        owner: ASGIApp,
    ) -> None:
        self._app = app
        self._method = method
        self._path, _, _ = compile_path(path)
        self._endpoint = endpoint
        self._query_refusal = query_refusal
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        found = self._path.match(scope["path"]) if scope["type"] == "http" and scope["method"] == self._method else None
        if found is None:
            await self._app(scope, receive, send)
            return
        if scope["query_string"] and (refusal := self._query_refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return
        scope["app"] = self._owner
        scope["path_params"] = found.groupdict()
        try:
            response = await self._endpoint(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:
            response = response_to(error)
            if response.status_code == 500:
                logger.exception("%s %s failed", self._method, scope["path"])
        await response(scope, receive, send)
