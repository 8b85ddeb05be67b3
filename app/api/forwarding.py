"""Shows later stages the requests of named proxies as the proxy's client sent them."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from ..access.proxies import TrustedProxies
from ..access.rule import FORWARDED_BY_PROXY

WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


class ForwardedRequests:
    """Takes the client's address, the host and the scheme of a request from the headers of a named proxy.

    It is the first stage, so logs, the check of `Host` and `Origin` and the audit see the client and not the proxy.
    Forwarding headers of everybody else are left alone and change nothing. uvicorn's ProxyHeadersMiddleware takes
    neither the host nor `Forwarded`, and any text for an address.
    """

    def __init__(self, app: ASGIApp, *, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Change the scope if a named proxy sent the request, then call the next stage. Raises InvalidForwarding.

        The scope is changed in place, since uvicorn's log of requests reads it after the answer.
        """
        peer = scope.get("client")
        if peer is not None and peer[0] in self._proxies:
            self._take(scope)
        return self._app(scope, receive, send)

    def _take(self, scope: Scope) -> None:
        forwarding = self._proxies.forwarding_of(scope["headers"])
        scope[FORWARDED_BY_PROXY] = True
        if forwarding.client is not None:
            scope["client"] = (forwarding.client, 0)
        if forwarding.scheme is not None:
            scope["scheme"] = (
                WEBSOCKET_SCHEMES[forwarding.scheme] if scope["type"] == "websocket" else forwarding.scheme
            )
        if forwarding.host is not None:
            host = (b"host", forwarding.host.encode("latin-1"))
            others = [header for header in scope["headers"] if header[0] != b"host"]
            if len(scope["headers"]) - len(others) <= 1:  # several are refused by HeaderChecks
                scope["headers"] = [host, *others]
