"""The walk of strangers over a surface: what a caller may not see is answered like what is missing."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.routing import Route

from app.api.surfaces import Surface
from tests import wire
from tests.callers import admit
from tests.servers import LiveServer
from tests.strangers import JSON, STRANGERS, snapshot, without

MISSING = "7f3e4b1c-0000-4000-8000-00000000000{}"
THREAD = "0a3e4b1c-0000-4000-8000-000000000001"
REFUSALS = (204, 400, 404, 409, 422, 501)
NOTHING = ("[]", "0")
ERROR_OF_A_CALL = '"error"'
"""In the reply to a call of JSON-RPC that is refused. Its status is 200."""

Ids = dict[str, str]


class Asked(NamedTuple):
    """A request for things of Ann. `{name}` in the path and in the body stands for the id of this name.

    `missing` has the ids of things that nobody has. `instead` asks for those, if not the same method and path do.
    `finds_nothing` tells that the reply for missing things is an empty result.
    """

    method: str
    path: str
    ids: Ids
    missing: Ids
    body: Any = None
    instead: tuple[str, str] | None = None
    finds_nothing: bool = False


def routes_of(surface: Surface) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of each route, without the surface's prefix."""
    for route in surface.routes:
        assert isinstance(route, Route)
        (method,) = (route.methods or set()) - {"HEAD"}
        yield method, route.path.removeprefix(surface.prefix)


async def ask(
    server: LiveServer, surface: Surface, caller: str, method: str, path: str, body: Any = None, **ids: str
) -> tuple[int, str]:
    """The status and the body of a reply, with ID in place of the ids."""
    text = "" if body is None else json.dumps(body)
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
        text = text.replace(json.dumps(f"{{{name}}}"), json.dumps(value))
    headers = {"X-API-Key": caller, **JSON}
    response = await wire.request(server.url, method, surface.prefix + path, headers=headers, body=text.encode())
    told = response.body.decode()
    for value in ids.values():
        told = without(told, value)
    return response.status, told


async def walk(server: LiveServer, surface: Surface, requests: Callable[[str], Iterator[Asked]], at_least: int) -> None:
    """Send the requests for each stranger. Each is answered like one for missing things, and nothing changes."""
    store = server.runtime.services.store
    before = await snapshot(store)
    walked = 0
    for who, stranger in STRANGERS.items():
        caller = await admit(server, stranger)
        for asked in requests(who):
            method, path = asked.instead or (asked.method, asked.path)
            missing = await ask(server, surface, caller, method, path, asked.body, **asked.missing)
            is_refused = missing[0] in REFUSALS or missing[1].strip() in NOTHING or ERROR_OF_A_CALL in missing[1]
            assert is_refused or asked.finds_nothing, (asked, missing)
            given = await ask(server, surface, caller, asked.method, asked.path, asked.body, **asked.ids)
            assert given == missing, (who, asked)
            walked += 1
    assert walked >= at_least
    assert await snapshot(store) == before
