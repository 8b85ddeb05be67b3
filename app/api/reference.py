"""Pages that show the description of the API. They load nothing from other servers."""

from fastapi import Request
from fastapi.openapi.docs import get_redoc_html
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access.scopes import public
from .security_headers import FRAMES, OF_PAGES

POLICY = (
    f"{FRAMES}; form-action 'self'; default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:"
)
"""The Content-Security-Policy of the pages, which have inline scripts and use `eval`."""

OWN_IMAGES = b"""<script>
const image = HTMLImageElement.prototype;
const source = Object.getOwnPropertyDescriptor(image, "src");
const own = (value) => (/^https?:/.test(value) ? "data:," : value);
Object.defineProperty(image, "src", { ...source, set(value) { source.set.call(this, own(value)); } });
image.setAttribute = function (name, value) {
  Element.prototype.setAttribute.call(this, name, name === "src" ? own(value) : value);
};
</script>
"""
"""Keeps Redoc from loading a logo from its vendor's server. Redoc has no option for this."""


STATIC = "static-offline-docs"
"""The name of the library's mount for the files that the pages load."""


REVALIDATED = "no-cache"
"""The Cache-Control of the pages and their files: megabytes without anybody's data, which browsers may keep."""


class OwnSourcesOnly:
    """Adds the headers of pages to every response of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application and add the headers to its response."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {**OF_PAGES, "Content-Security-Policy": POLICY, "Cache-Control": REVALIDATED}
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_policy)


def pages(title: str) -> list[BaseRoute]:
    """Return the routes `/docs` and `/redoc`, and the mount of the files that these pages load."""
    offline = FastAPIOffline(title=title, redoc_url=None)

    @offline.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        script, icon = (
            root + offline.url_path_for(STATIC, path=name) for name in ("redoc.standalone.js", "favicon.png")
        )
        page = get_redoc_html(
            openapi_url=f"{root}{offline.openapi_url}",
            title=f"{title} - ReDoc",
            redoc_js_url=script,
            redoc_favicon_url=icon,
            with_google_fonts=False,
        )
        return HTMLResponse(bytes(page.body).replace(b"<redoc ", OWN_IMAGES + b"<redoc "))

    found: list[BaseRoute] = []
    for route in offline.routes:
        assert isinstance(route, Route | Mount)
        if route.path != offline.openapi_url:
            route.app = OwnSourcesOnly(route.app)
            public(route.endpoint if isinstance(route, Route) else route.app)
            found.append(route)
    return found
