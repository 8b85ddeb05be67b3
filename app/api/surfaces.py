"""Surfaces: APIs of other products below a path of their own, whose errors have the form of that product."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Send

from .errors import PROBLEM_MEDIA_TYPE, title_of
from .schemas.problems import Problem

Headers = Sequence[tuple[bytes, bytes]]


class Surface(NamedTuple):
    """The API of another product. `prefix` begins the paths of all of its routes.

    `error_of` returns the reply in place of a problem. It keeps the status, unless the product has another one.
    `headers_of` returns the headers of a reply as clients of the product read them. `bare_paths` begin paths that
    clients ask for whose address lacks the prefix. Nothing else is there.
    """

    prefix: str
    routes: Sequence[BaseRoute]
    error_of: Callable[[Problem], Response]
    bare_paths: tuple[str, ...] = ()
    headers_of: Callable[[Headers], Headers] | None = None

    def at_bare_path(self, path: str) -> "Surface":
        """Return the surface for a path without its prefix. Its error 404 tells the right address."""
        told = f"There is nothing at {path}. The address of this API ends with {self.prefix}: use {self.prefix}{path}."

        def error_of(problem: Problem) -> Response:
            is_missing = problem.status == 404
            return self.error_of(problem.model_copy(update={"detail": told}) if is_missing else problem)

        return self._replace(error_of=error_of)


class Surfaces:
    """The surfaces of a server, by path."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self._surfaces = tuple(surfaces)
        self._beginnings = tuple(path for each in surfaces for path in (each.prefix, *each.bare_paths))

    def at(self, path: str) -> Surface | None:
        """Return the surface that a path is below, or would be with the prefix. None for paths of the native API."""
        if not path.startswith(self._beginnings):  # every request comes through here
            return None
        for surface in self._surfaces:
            if path.startswith(surface.prefix) and path[len(surface.prefix) :][:1] in ("", "/"):
                return surface
            if path.startswith(surface.bare_paths):
                return surface.at_bare_path(path)
        return None


def reply_for(problem: Response, surface: Surface) -> Response:
    """Return the surface's reply in place of a response that is a problem. Further headers stay as they are."""
    reply = surface.error_of(Problem.model_validate_json(bytes(problem.body)))
    reply.raw_headers = _exchanged(problem.raw_headers, reply)
    return reply


def in_its_form(send: Send, surface: Surface) -> Send:
    """Return a `send` that replaces each problem by the surface's own reply.

    All errors of a surface pass it: refusals by stages, errors of endpoints, and paths that do not exist. It is no
    coroutine function: coroutines cost time.
    """
    held: Message | None = None
    body = b""

    def send_in_its_form(message: Message) -> Awaitable[None]:
        if surface.headers_of is not None and message["type"] == "http.response.start":
            message = {**message, "headers": surface.headers_of(message["headers"])}
        if held is None and not _begins_problem(message):
            return send(message)
        return exchange(message)

    async def exchange(message: Message) -> None:
        nonlocal held, body
        if held is None:
            held = message
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            reply = surface.error_of(Problem.model_validate_json(body) if body else _untold(held["status"]))
            headers = _exchanged(held["headers"], reply)
            if not body:  # the length would be that of another text
                headers = [each for each in headers if each[0] != b"content-length"]
            await send({**held, "status": reply.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body if body else b""})

    return send_in_its_form


def _begins_problem(message: Message) -> bool:
    is_start = message["type"] == "http.response.start"
    return is_start and (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in message["headers"]


def _untold(status: int) -> Problem:
    """Return a problem for a reply to HEAD, of which only the status and the headers are sent."""
    return Problem(title=title_of(status), status=status, detail=title_of(status), code="")


def _exchanged(headers: Sequence[tuple[bytes, bytes]], reply: Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem with those of the reply in the place of theirs."""
    exchanged = MutableHeaders(raw=list(headers))
    exchanged.update(reply.headers)
    return exchanged.raw
