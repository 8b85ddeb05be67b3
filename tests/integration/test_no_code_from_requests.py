"""No request has this process import, compile, execute, unpickle or start anything, or open a file that it names."""

import asyncio
import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.api import websocket_frames
from tests import wire
from tests.audit_hook import CODE, FILES, Audited, audited
from tests.documents import openapi
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import ROOT, LiveServer
from tests.talk import talk

Request = tuple[str, str, dict[str, str], bytes]
"""Method, target, headers and body."""

ACCEPT = {"Accept": "application/json"}
"""Asks for the changes of the server as a page. Their stream has no end."""

JSON = {"Content-Type": "application/json", **ACCEPT}
OF_LIBRARIES = frozenset(("import", "exec", "compile", "marshal.loads"))
"""Audit events that LangGraph's own modules raise while a graph runs."""

SITE = Path(pytest.__file__).parent.parent


class Reduced:
    """Executes code when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit",)


def texts(module: str) -> list[str]:
    """Return texts that a careless reader would import, execute, open or load. `module` is not imported yet."""
    return [
        f"{module}:run",
        f"{module}.run",
        f"{module}.py:run",
        f"__import__('{module}')",
        f"{{{{ cycler.__init__.__globals__.os.popen('{module}') }}}}",
        f"../../{module}.py",
        f"/tmp/{module}",
        f"file:///{module}",
        base64.b64encode(pickle.dumps(Reduced())).decode(),
        "langchain_core.load:loads",
        "idna\u00df",
    ]


def objects(module: str) -> list[Any]:
    """Return JSON from which a careless reader would build objects."""
    return [
        {"lc": 1, "type": "constructor", "id": [module, "Run"], "kwargs": {"x": 1}},
        {"lc": 2, "type": "constructor", "id": [module, "Run"], "method": "run", "args": [1], "kwargs": {}},
        {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
        {"py/object": f"{module}.Run", "__type__": f"{module}:Run", "__reduce__": [module]},
        {"$ref": f"file:///{module}", "$schema": f"http://127.0.0.1:9/{module}"},
        {"messages": [{"lc": 1, "type": "constructor", "id": [module, "Run"]}, {"type": module, "data": {}}]},
        [[module, "run", ["x"]]],
    ]


def requests(module: str) -> Iterator[Request]:
    """Requests to every route, with each hostile value in each place that takes one: path, query, header, field."""
    description = json.loads(openapi())
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            fields = _example(description, operation)
            body = b"" if fields is None else json.dumps(fields).encode()
            places = list(operation.get("parameters", ()))
            plain = path.replace("{", "").replace("}", "")
            for text in texts(module):
                named = quote(text, safe="")
                for parameter in places:
                    name, place = parameter["name"], parameter["in"]
                    target = path.replace(f"{{{name}}}", named).replace("{", "").replace("}", "")
                    asked = f"{plain}?{name}={named}"
                    headers = {name: text.encode().decode("latin-1")} if place == "header" else {}
                    yield method.upper(), target if place == "path" else asked, {**JSON, **headers}, body
                yield method.upper(), plain, {**ACCEPT, "Content-Type": text.encode().decode("latin-1")}, body
            for name in fields or ():
                for value in (*texts(module), *objects(module)):
                    yield method.upper(), plain, JSON, json.dumps({**(fields or {}), name: value}).encode()
    for text in texts(module):
        for mount in ("static-offline-docs", "docs", module):
            yield "GET", f"/{mount}/{quote(text, safe='')}", {}, b""
            yield "GET", f"/{mount}/{text.split()[0]}", {}, b""


def _example(description: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of an operation's body, each with a value that fits, or None; None without a body."""
    if "requestBody" not in operation:
        return None
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    model = description["components"]["schemas"][name]
    example, *_ = model.get("examples", [{}])
    return {**dict.fromkeys(model["properties"]), **example}


def frames(module: str) -> Iterator[str]:
    """Frames of every kind with each hostile value in each field."""
    for kind, model in websocket_frames.MODELS.items():
        for name in model.model_fields:
            for value in (*texts(module), *objects(module)):
                yield json.dumps({"type": kind, "message_id": "x", "message": "Hi", name: value})


async def send_everything(server: LiveServer, pending: list[Request], told: list[str]) -> int:
    """Send these requests and frames. Return how many requests were not refused."""
    accepted = 0

    async def send(request: Request) -> int:
        method, path, headers, body = request
        response = await wire.request(server.url, method, path, headers=headers, body=body)
        assert response.status < 500 or response.status == 503, (request, response)
        return response.status < 300

    for first in range(0, len(pending), 50):
        accepted += sum(await asyncio.gather(*map(send, pending[first : first + 50])))
    async with talk(server.url) as client:
        for frame in told:
            await client.connection.send(frame)
            await client.next()
    return accepted


FIGURES = {f"/proc/self/{name}" for name in ("stat", "limits", "fd")}
"""Files that `/metrics` reads about the process: its times, memory and file descriptors."""


def is_expected(event: Audited) -> bool:
    """Whether it is a file of the server's own: its pages, the source of a line that a log shows, or its figures."""
    return event.subject in FIGURES or (event.event == "open" and event.subject.startswith((str(SITE), str(ROOT))))


async def test_no_request_brings_code_into_the_process(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=100_000, allow_anonymous=True)
    known, new = (
        (list(requests(module)), list(frames(module))) for module in ("never_imported_before", "never_imported")
    )
    await send_everything(server, *known)  # what the server itself imports late is imported then
    with audited(CODE | FILES) as events:
        accepted = await send_everything(server, *new)
    assert accepted > len(new[0]) / 20
    assert [event for event in events if not is_expected(event)] == []


async def test_no_run_does_so_for_what_it_is_given(serve: Serve, control: GraphControl) -> None:
    """LangGraph and LangChain read the values here, and may import and compile what is their own."""
    server = await serve(agents="steps=tests.graphs:steps")
    await server.ended((await server.submit())["message_id"])
    module = "never_imported"
    hostile = [*texts(module), *objects(module)]
    bodies: list[dict[str, Any]] = [
        {"input": {"messages": [{"role": "user", "content": "Hi"}], name: value}}
        for value in hostile
        for name in ("messages", "step", "__root__")
    ]
    bodies += [
        {"message": "Hi", "thread_id": f"t{number}", "metadata": {"a": text}, "name": text}
        for number, text in enumerate(texts(module))
    ]
    with audited(CODE) as events:
        ids = []
        for body in bodies:
            response = await server.client.post("/messages", json=body)
            assert response.status_code in (202, 422), response.text
            ids += [response.json()["message_id"]] if response.status_code == 202 else []
        for message_id in ids:
            await server.ended(message_id)
        for value in hostile:
            for values in ({"messages": [value]}, {"messages": value}, value):
                response = await server.client.post("/threads/t0/state", json={"values": values})
                assert response.status_code < 500, response.text
        assert (await server.client.get("/threads/t0/history")).status_code == 200
    assert len(ids) > len(texts(module))
    assert [event for event in events if module in event.subject or event.event not in OF_LIBRARIES] == []
