"""The Python client has a method for each public route, for all that it takes and all that it replies."""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from agentq_client import AgentQ, AgentQError, AsyncAgentQ, errors
from agentq_client.models.base import Model
from agentq_client.options import SubmitOptions

from tests.servers import ROOT

API: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text("utf-8"))

WITHOUT_A_METHOD = {
    ("POST", "/session"): "A session is the cookie of a browser. A program sends its key with each request.",
    ("DELETE", "/session"): "The same.",
}

NOT_GIVEN = {
    "cursor": "Lists find their next page.",
    "ticket": "It is for readers that can send no header.",
    "count": "It asks for a header with the number of entries, and `client.request` can send it.",
    "Prefer": "`run` follows the stream, which continues after a cut.",
    "traceparent": "`headers` of the client can give it.",
    "tracestate": "The same.",
    "X-CSRF-Token": "It belongs to a browser's session.",
    "format": "`usage.csv` sends it.",
    "index": "The server takes only false, since it has no semantic search.",
    "query": "The same.",
}

GIVEN: dict[str, Any] = {
    "message": "Hello", "value": {"n": 1}, "values": {"q": 1}, "changes": {"name": "n", "metadata": {}, "ttl": 60},
    "filter": {"state": "queued"}, "messages": ["Hello"], "message_ids": ["m"], "namespace": ["users"],
    "metadata": {"team": "red"}, "type": ["message.failed", "worker.lost"], "state": ["failed", "queued"],
    "event": ["failed", "completed"], "limit": 7, "offset": 3,
    "wait_seconds": 1.0, "refresh_ttl": True, "subgraphs": True, "all_of_tenant": True, "after": 5,
}  # fmt: skip
"""Values of parameters. The others get their own name."""

GIVEN_TO: dict[str, dict[str, Any]] = {
    "Threads.list": {"thread_id": ["t", "u"]},
    "Statistics.series": {"group_by": "agent"},
    "Keys.change": {"changes": {"limits": {"submits_per_minute": 60}, "quotas": None}},
    "Tenants.change": {
        "changes": {
            "weight": 2,
            "limits": {"queued": 1},
            "quotas": {},
            "subject_quotas": {},
            "retention_days": 1,
            "event_retention_hours": None,
        }
    },
}
"""Values of parameters that mean something else to other methods."""

EITHER = {
    "resume": ("value", "values"),
    "requeue": ("message_ids", "filter"),
    "purge": ("message_ids", "filter"),
    "cancel_all": ("message_ids", "filter"),
    "change_all": ("message_ids", "filter"),
    "revoke": ("subject", "all_of_tenant"),
}
"""Parameters of which a call takes one."""

OPTIONS = {name: GIVEN.get(name, name) for name in SubmitOptions.__annotations__ if name != "run_at"} | {
    "run_at": "2026-11-29T10:00:00Z"
}
RAW = frozenset(("request", "call", "pages", "send", "opened", "with_options", "close"))


class Recorder:
    """Gives the example of the API document as each reply, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        accepted = request.headers["accept"]
        if accepted == "text/event-stream":
            return httpx.Response(409, json={"code": "refused", "detail": "No stream."})
        method, path = route_of(request)
        replies = API["paths"][path][method.lower()]["responses"]
        status = max(code for code in replies if code[0] == "2")  # 200 of a submit is for `Prefer: wait`
        if request.headers.get("prefer") == "respond-async":
            status = "202"
        schema = replies[status].get("content", {}).get("application/json", {}).get("schema")
        if accepted == "application/json" and schema:
            return httpx.Response(int(status), json=sample(schema))
        return httpx.Response(int(status), text="text")

    async def answer(self, request: httpx.Request) -> httpx.Response:
        return self(request)


def route_of(request: httpx.Request) -> tuple[str, str]:
    """Return method and path template of a request."""
    found = [path for path in API["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), request.url.path)]
    assert found, request.url
    return request.method, min(found, key=lambda path: path.count("{"))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references, and without a null beside another type."""
    if "$ref" in schema:
        return resolved(API["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for choice in schema.get("anyOf", []) + schema.get("oneOf", []) + schema.get("allOf", []):
        if choice.get("type") != "null":
            return resolved(choice)
    return schema


def sample(schema: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return a value of a schema in which no field is missing, and none is null but one that would not end."""
    schema = resolved(schema)
    title = schema.get("title", "")
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        if title in within:
            return None
        return {name: sample(each, (*within, title)) for name, each in schema["properties"].items()}
    if kind == "array":
        return [sample(schema["items"], within)]
    if "enum" in schema:
        return schema["enum"][0]
    plain = {"integer": 7, "number": 0.5, "boolean": True, "object": {}}
    return plain.get(str(kind), "2026-11-29T10:00:00.000Z")  # since times have no format of their own


def methods(client: AgentQ | AsyncAgentQ) -> Iterator[tuple[str, Any]]:
    """Yield the methods that send a request, with the names under which callers know them."""
    for owner, part in [("", client), *((f"{name}.", each) for name, each in vars(client).items() if name[0] != "_")]:
        for name, method in inspect.getmembers(part, inspect.ismethod):
            if name[0] != "_" and name not in RAW:
                yield owner + name, method


def arguments_of(method: Any) -> Iterator[dict[str, Any]]:
    """Yield the arguments of calls which together give all that a method takes."""
    parameters = inspect.signature(method).parameters
    given = {name: GIVEN.get(name, name) for name in parameters if name != "options"}
    given |= GIVEN_TO.get(method.__qualname__.removeprefix("Async"), {})
    if "options" in parameters:
        given |= OPTIONS
    either = [name for name in EITHER.get(method.__name__, ()) if name in given]
    for chosen in either or [""]:
        left = {name: value for name, value in given.items() if name not in either or name == chosen}
        if chosen == "message_ids":
            left.pop("expected_count")
        yield left


def record(recorder: Recorder) -> dict[str, list[Any]]:
    """Call all methods of the client for threads, and return their results."""
    results: dict[str, list[Any]] = {}
    with AgentQ("http://queue.test", http_client=httpx.Client(transport=httpx.MockTransport(recorder))) as client:
        for name, method in methods(client):
            for arguments in arguments_of(method):
                results.setdefault(name, []).append(result_of(method, arguments))
    return results


def result_of(method: Any, arguments: dict[str, Any]) -> Any:
    try:
        result = method(**arguments)
        if isinstance(result, Iterable) and not isinstance(result, str | Model | list):
            pages = result.pages() if hasattr(result, "pages") else result
            return next(iter(pages))  # a stream is refused
    except errors.Conflict as error:
        return error
    return result


async def record_async(recorder: Recorder) -> None:
    """Call all methods of the client for asyncio."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(recorder.answer))
    async with http, AsyncAgentQ("http://queue.test", http_client=http) as client:
        for _, method in methods(client):
            for arguments in arguments_of(method):
                try:
                    result = method(**arguments)
                    if inspect.isawaitable(result):
                        await result
                    elif isinstance(result, AsyncIterable):
                        pages = result.pages() if hasattr(result, "pages") else result
                        await anext(aiter(pages))
                except errors.Conflict:
                    continue


@pytest.fixture(scope="module")
def recorded() -> tuple[list[httpx.Request], dict[str, list[Any]]]:
    recorder = Recorder()
    results = record(recorder)
    return recorder.requests, results


Recorded = tuple[list[httpx.Request], dict[str, list[Any]]]


def test_the_page_lists_the_methods() -> None:
    page = (ROOT / "docs" / "how-to" / "use-the-python-client.md").read_text("utf-8")
    listed = {
        f"{resource}.{method}"
        for names, texts in re.findall(r"^\| (`client\..*?) \| (.*) \|$", page, re.MULTILINE)
        for resource, group in zip(re.findall(r"client\.(\w+)", names), texts.split(";"), strict=True)
        for method in re.findall(r"`(\w+)`", group)
    }
    with AgentQ("http://queue.test") as client:
        assert listed == {name for name, _ in methods(client) if "." in name}


def test_each_route_has_a_method(recorded: Recorded) -> None:
    routes = {(m.upper(), path) for path, verbs in API["paths"].items() for m in verbs if m != "parameters"}
    assert routes - set(map(route_of, recorded[0])) == set(WITHOUT_A_METHOD)


def test_both_clients_send_the_same(recorded: Recorded) -> None:
    recorder = Recorder()
    asyncio.run(record_async(recorder))
    assert list(map(without_key, recorder.requests)) == list(map(without_key, recorded[0]))


def without_key(request: httpx.Request) -> tuple[Any, ...]:
    headers = [pair for pair in request.headers.items() if pair[0] != "idempotency-key"]
    return request.method, request.url, headers, request.content


def test_all_that_a_route_takes_can_be_given(recorded: Recorded) -> None:
    sent: dict[tuple[str, str], set[str]] = {}
    for request in recorded[0]:
        found = sent.setdefault(route_of(request), set())
        found |= set(request.url.params) | {name.lower() for name in request.headers}
        found |= set(json.loads(request.content)) if request.content else set()
    missing: dict[tuple[str, str], set[str]] = {}
    for (method, path), found in sent.items():
        wanted = {name for name in taken(API["paths"][path][method.lower()]) if name not in NOT_GIVEN}
        left = {name for name in wanted if name not in found and name.lower() not in found}
        missing |= {(method, path): left} if left else {}
    streams = {("GET", "/messages/{message_id}/stream"): {"after"}}  # `Last-Event-ID` is the same
    assert missing == streams


def taken(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the parameters and the fields of the body of a route."""
    yield from (each["name"] for each in operation.get("parameters", []) if each["in"] != "path")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield from resolved(content["schema"]).get("properties", {})


def test_filters_that_take_several_values_are_given_several(recorded: Recorded) -> None:
    several = {
        (method.upper(), path, each["name"])
        for path, verbs in API["paths"].items()
        for method, operation in verbs.items()
        for each in operation.get("parameters", [])
        if each["in"] == "query" and resolved(each["schema"]).get("type") == "array"
    }
    given = {
        (*route_of(request), name)
        for request in recorded[0]
        for name in request.url.params
        if len(request.url.params.get_list(name)) > 1
    }
    assert given == several


def test_all_that_a_route_replies_has_a_field(recorded: Recorded) -> None:
    """A field that no model has would be left in `model_extra`, without a type."""
    untyped: dict[str, set[str]] = {}
    for name, results in recorded[1].items():
        for result in results:
            assert not isinstance(result, AgentQError) or name in ("follow", "stream", "changes.follow", "run"), name
            found = set(extra_of(result))
            untyped |= {name: found} if found else {}
    assert untyped == {}


def extra_of(value: Any) -> Iterator[str]:
    """Yield the fields without a type, of nested models too."""
    if isinstance(value, Model):
        yield from (f"{type(value).__name__}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from extra_of(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from extra_of(each)
