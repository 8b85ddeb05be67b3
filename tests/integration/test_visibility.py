"""Things that a caller may not see are like missing ones: every route, frame and field that takes an id.

The routes, parameters, fields and frames come from the application itself. A new one without a row fails.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect

from app.access.principals import Principal
from app.api.websocket_frames import MODELS, json_schema
from app.models.visibility import ThreadNarrowing
from app.webhooks.sender import WebhookSender
from tests import wire
from tests.callers import admit
from tests.contract.builders import ALL, new
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.servers import LiveServer
from tests.strangers import AGENTS, ANN, HELLO, JSON, SCOPES, STRANGERS, ann_has, snapshot, without
from tests.talk import Talk

MISSING = {
    "message": "0199f2f4-5c1e-7d11-a3c5-9d0f6a8c1b22",
    "alias": "no alias",
    "thread": "ann/nothing",
    "delivery": "0199f2f4-5c1e-7d11-a3c5-9d0f6a8c1b22.7",
    "agent": "missing",
    "key": "a" * 12,
    "subject": "nobody",
}
OF_EACH_REPLY = {"date", "content-length", "x-request-id", "ratelimit", "ratelimit-policy"}
REFUSALS = {"message_not_found", "thread_not_found", "delivery_not_found", "agent_not_found", "unknown_agent"}


class Row(NamedTuple):
    """A request with an id of a `kind` at one place. With `creates`, a missing id is as good as any."""

    kind: str
    method: str
    path: str
    body: Any = None
    creates: bool = False

    def with_id(self, value: str) -> tuple[str, str, Any]:
        """The method, the path and the body for this id."""
        text = json.dumps(self.body).replace('"ID"', json.dumps(value))
        return self.method, self.path.replace("ID", quote(value, safe="")), json.loads(text)


def message_rows(operation: str, method: str, path: str, body: Any = None) -> dict[str, Row]:
    """The rows of a path that has a message's id, which may be an alias."""
    return {
        f"{operation} path:message_id": Row("message", method, path, body),
        f"{operation} path:message_id by alias": Row("alias", method, path, body),
    }


ROWS: dict[str, Row] = {
    "submitMessage body:thread_id": Row("thread", "POST", "/messages", {**HELLO, "thread_id": "ID"}, creates=True),
    "submitMessage body:agent": Row("agent", "POST", "/messages", {**HELLO, "agent": "ID"}),
    "submitMessages body:messages.thread_id": Row(
        "thread", "POST", "/messages/batch", {"messages": [{**HELLO, "thread_id": "ID"}]}, creates=True
    ),
    "submitMessages body:messages.agent": Row(
        "agent", "POST", "/messages/batch", {"messages": [{**HELLO, "agent": "ID"}]}
    ),
    "listMessages query:thread_id": Row("thread", "GET", "/messages?thread_id=ID"),
    "listMessages query:agent": Row("agent", "GET", "/messages?agent=ID"),
    "listMessages query:subject": Row("subject", "GET", "/messages?subject=ID"),
    **message_rows("getMessage", "GET", "/messages/ID"),
    **message_rows("changeMessage", "PATCH", "/messages/ID", {"priority": "high"}),
    **message_rows("cancelMessage", "DELETE", "/messages/ID"),
    **message_rows("getMessageStatus", "GET", "/messages/ID/status"),
    **message_rows("stopMessage", "POST", "/messages/ID/cancel"),
    **message_rows("resumeMessage", "POST", "/messages/ID/resume", {"value": 1}),
    **message_rows("regenerateMessage", "POST", "/messages/ID/regenerate", {}),
    **message_rows("retryMessage", "POST", "/messages/ID/retry"),
    **message_rows("listMessageDeliveries", "GET", "/messages/ID/deliveries"),
    **message_rows("streamMessage", "GET", "/messages/ID/stream"),
    **message_rows("listMessageEvents", "GET", "/messages/ID/events"),
    "listDeadLetters query:thread_id": Row("thread", "GET", "/dead-letters?thread_id=ID"),
    "listDeadLetters query:agent": Row("agent", "GET", "/dead-letters?agent=ID"),
    "listDeadLetters query:subject": Row("subject", "GET", "/dead-letters?subject=ID"),
    "listDeliveries query:message_id": Row("message", "GET", "/deliveries?message_id=ID"),
    "replayDelivery path:delivery_id": Row("delivery", "POST", "/deliveries/ID/replay"),
    "getAgent path:name": Row("agent", "GET", "/agents/ID"),
    "listThreads query:thread_id": Row("thread", "GET", "/threads?thread_id=ID"),
    "listThreads query:subject": Row("subject", "GET", "/threads?subject=ID"),
    "getThread path:thread_id": Row("thread", "GET", "/threads/ID"),
    "changeThread path:thread_id": Row("thread", "PATCH", "/threads/ID", {"name": "taken"}),
    "deleteThread path:thread_id": Row("thread", "DELETE", "/threads/ID"),
    "createThread body:thread_id": Row(
        "thread", "POST", "/threads", {"thread_id": "ID", "if_exists": "do_nothing"}, creates=True
    ),
    "getThreadMessages path:thread_id": Row("thread", "GET", "/threads/ID/messages"),
    "getThreadStorage path:thread_id": Row("thread", "GET", "/threads/ID/storage"),
    "getThreadState path:thread_id": Row("thread", "GET", "/threads/ID/state"),
    "getThreadHistory path:thread_id": Row("thread", "GET", "/threads/ID/history"),
    "updateThreadState path:thread_id": Row("thread", "POST", "/threads/ID/state", {"values": {}}),
    "forkThread path:thread_id": Row("thread", "POST", "/threads/ID/fork", {}),
    "getThreadState query:agent": Row("agent", "GET", "/threads/mine%2Ft/state?agent=ID"),
    "getThreadHistory query:agent": Row("agent", "GET", "/threads/mine%2Ft/history?agent=ID"),
    "updateThreadState body:agent": Row("agent", "POST", "/threads/mine%2Ft/state", {"values": {}, "agent": "ID"}),
    "forkThread body:message_id": Row("message", "POST", "/threads/mine%2Ft/fork", {"message_id": "ID"}),
}
ROWS["createTicket body:message_id"] = Row("message", "POST", "/tickets", {"message_id": "ID"})
ROWS["createTicket body:message_id by alias"] = ROWS["createTicket body:message_id"]._replace(kind="alias")
for verb, method, path in (
    ("get", "GET", ""),
    ("change", "PATCH", ""),
    ("rotate", "POST", "/rotate"),
    ("revoke", "POST", "/revoke"),
):
    ROWS[f"{verb}Key path:key_id"] = Row("key", method, f"/keys/ID{path}", None if verb in ("get", "revoke") else {})
for operation, path, more in (("cancelMessages", "cancel", {}), ("changeMessages", "priority", {"priority": "high"})):
    ROWS[f"{operation} body:message_ids"] = Row("message", "POST", f"/messages/{path}", {"message_ids": ["ID"], **more})
    for key in ("thread_id", "agent"):
        chosen = {"filter": {key: "ID"}, "expected_count": 0, **more}
        ROWS[f"{operation} body:filter.{key}"] = Row(key.removesuffix("_id"), "POST", f"/messages/{path}", chosen)

for verb in ("requeue", "purge"):
    name = f"{verb}DeadLetters body:"
    ROWS[f"{name}message_ids"] = Row("message", "POST", f"/dead-letters/{verb}", {"message_ids": ["ID"]})
    for key in ("thread_id", "agent"):
        chosen = {"filter": {key: "ID"}, "expected_count": 0}
        ROWS[f"{name}filter.{key}"] = Row(key.removesuffix("_id"), "POST", f"/dead-letters/{verb}", chosen)

FRAMES: dict[str, Row] = {
    "submit thread_id": Row("thread", "submit", "", {**HELLO, "thread_id": "ID"}, creates=True),
    "submit agent": Row("agent", "submit", "", {**HELLO, "agent": "ID"}),
    **{
        f"{kind} message_id{by}": Row(
            named, kind, "", {"message_id": "ID", **({"value": 1} if kind == "resume" else {})}
        )
        for kind in ("subscribe", "unsubscribe", "cancel", "resume")
        for by, named in (("", "message"), (" by alias", "alias"))
    },
}

FREE = "a new name; those of subjects are apart, as the tests below show"
OF_PATH = "it is of the thread or message in the path"
APART = "test_items_are_kept_apart"
CURSOR = "test_a_cursor_of_another_caller_shows_nothing_of_theirs"
STATISTICS = "sums of the caller's tenant, refused to narrowed callers: see test_statistics.py"
CHANGES = "changes of the caller's tenant, refused to narrowed callers: see test_changes.py"
STORAGE = "sums of the caller's tenant, refused to narrowed callers: see test_storage.py"
USAGE = "test_callers_see_the_usage_of_their_tenant_or_their_end_user"
NO_ID = {
    **{
        f"{start}{name}": FREE
        for start in ("submitMessage body:", "submitMessages body:messages.", "submit ")
        for name in ("aliases", "client_message_id", "subject")
    },
    **{
        f"{start}checkpoint_id": "it is of the thread that the same body names"
        for start in ("submitMessage body:", "submitMessages body:messages.", "submit ")
    },
    "createThread body:subject": FREE,
    "createToken body:subject": "whom a token is for",
    "createToken body:thread_ids": "what a token is narrowed to",
    "createToken body:thread_prefix": "what a token is narrowed to",
    "revokeTokens body:subject": "whose tokens end; the answer does not tell whether there are any",
    "resumeMessage body:alias": FREE,
    "resume alias": FREE,
    "forkThread body:thread_id": "test_a_fork_into_a_thread_that_its_caller_may_not_see_is_refused_like_a_missing_one",
    "forkThread body:checkpoint_id": OF_PATH,
    "getThreadState query:checkpoint_id": OF_PATH,
    "updateThreadState body:checkpoint_id": OF_PATH,
    "getThreadHistory query:cursor": OF_PATH,
    "getThreadMessages query:cursor": OF_PATH,
    "streamMessage header:last-event-id": OF_PATH,
    **{f"streamChanges {name}": CHANGES for name in ("header:last-event-id", "query:agent", "query:thread_id")},
    **{f"{op} body:{name}": APART for op in ("putItem", "deleteItem") for name in ("namespace", "key")},
    "getItem query:namespace": APART,
    "getItem query:key": APART,
    "searchItems body:namespace_prefix": APART,
    "listNamespaces body:prefix": APART,
    "listNamespaces body:suffix": APART,
    **{f"list{what} query:cursor": CURSOR for what in ("Messages", "DeadLetters", "Deliveries", "Threads")},
    "getStatistics query:agent": STATISTICS,
    "getStatisticsSeries query:agent": STATISTICS,
    **{f"listUsage query:{name}": USAGE for name in ("agent", "key", "subject", "cursor")},
    "listAudit query:cursor": "only API keys have the scope `admin`, and no key is narrowed",
    "getStorage query:cursor": STORAGE,
    "listLargestThreads query:cursor": STORAGE,
    "listTenants query:cursor": "a narrowed caller lists no tenants, see test_tenant_settings.py",
    **{
        f"{verb}Tenant path:tenant": "a tenant's name is no id of its own, and admins manage all tenants"
        for verb in ("get", "change", "erase")
    },
    **{
        f"{verb}Worker path:worker_id": "a worker is the server's, not a tenant's, and no key with `admin` is narrowed"
        for verb in ("drain", "resume")
    },
    "eraseSubject path:subject": "a narrowed caller erases no subject, see test_erasures.py",
    "getErasure path:erasure_id": "an id is random, and given to who asked, see test_erasures.py",
    "listKeys query:cursor": "a narrowed caller lists no keys, see test_key_api.py",
}
"""Places that look like ids, with the reason why they have no row."""

TAKES_ID = re.compile(r"(^|[:._-])(ids?|alias(es)?|agent|subject|namespace|prefix|suffix|cursor|key)$|^path:")


def body_fields(schema: Mapping[str, Any], document: Mapping[str, Any], seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of a body's fields, inner ones after a period. Content blocks are what users write."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen and "Block" not in name:
            definitions = document.get("$defs") or document["components"]["schemas"]
            yield from body_fields(definitions[name], document, (*seen, name))
        return
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    for each in [*inner, *([schema["items"]] if "items" in schema else [])]:
        yield from body_fields(each, document, seen)
    for name, each in schema.get("properties", {}).items():
        yield name
        yield from (f"{name}.{more}" for more in body_fields(each, document, seen))


def places(document: dict[str, Any]) -> Iterator[str]:
    """All places of requests that may take an id."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            name = operation["operationId"]
            given = {f"{each['in']}:{each['name']}" for each in operation.get("parameters", ())}
            given |= {f"path:{part}" for part in re.findall(r"\{(\w+)", path)}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            given |= {f"body:{each}" for each in body_fields(content.get("schema", {}), document)}
            yield from (f"{name} {place}" for place in given if TAKES_ID.search(place))


def has_row(place: str, rows: Mapping[str, Row]) -> bool:
    return place in rows or place in NO_ID


async def test_every_place_that_takes_an_id_has_a_row(server: LiveServer) -> None:
    document = server.app.openapi()
    described = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    routes = {getattr(route, "operation_id", None) for route in server.app.router.routes} - {None}
    assert routes == described, "each route is described"
    found = set(places(document)) - {"submitMessage header:Idempotency-Key"}
    found = {place for place in found if not place.endswith("header:Idempotency-Key")}
    assert sorted(place for place in found if not has_row(place, ROWS)) == []
    assert sorted(row.removesuffix(" by alias") for row in ROWS if row.removesuffix(" by alias") not in found) == []


def test_every_field_of_a_frame_that_takes_an_id_has_a_row() -> None:
    document = json_schema()
    for kind, model in MODELS.items():
        for name in body_fields(document["$defs"][model.__name__], document):
            if TAKES_ID.search(name) and name not in ("request_id", "idempotency_key"):
                assert has_row(f"{kind} {name}", FRAMES), f"{kind} {name}"


async def ask(server: LiveServer, caller: str, row: Row, value: str) -> tuple[int, dict[str, str], str]:
    """The answer to a request with this id: status, headers and body, with ID in the place of the id."""
    method, path, body = row.with_id(value)
    headers = {"X-API-Key": caller, **(JSON if body is not None else {})}
    text = b"" if body is None else json.dumps(body).encode()
    response = await wire.request(server.url, method, path, headers=headers, body=text)
    shown = {name: without(text, value) for name, text in response.headers.items() if name not in OF_EACH_REPLY}
    return response.status, shown, without(response.body.decode(), value)


def concerns(who: str, row: Row) -> bool:
    """Whether the thing of this row is foreign to this stranger."""
    if row.kind == "key":
        return STRANGERS[who].is_narrowed  # `admit` gives all scopes, and admins manage the keys of all tenants
    if row.kind == "subject":
        return who in ("another subject", "other threads")  # another tenant may have an equal subject
    if who == "other agents":
        return row.kind in ("message", "alias", "delivery", "agent")
    return row.kind != "agent"


@pytest.fixture
async def serving(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> LiveServer:
    """A server that makes deliveries and does not send them, since each try changes them."""
    monkeypatch.setattr(WebhookSender, "start", lambda _: None)
    secret = "whsec_" + base64.b64encode(b"x" * 32).decode()
    server = await serve(worker_concurrency=0, agents=AGENTS, webhook_secret=secret)
    await issue(server)
    return server


@pytest.mark.parametrize("place", ROWS)
async def test_a_foreign_id_is_answered_like_a_missing_one(serving: LiveServer, place: str) -> None:
    row, store = ROWS[place], serving.runtime.services.store
    ids = await ann_has(store)
    before = await snapshot(store)
    for who, stranger in STRANGERS.items():
        if not concerns(who, row):
            continue
        caller = await admit(serving, stranger)
        if row.creates and who.startswith("another tenant"):
            continue  # equal ids of two tenants are two threads
        reading = Row("thread", "GET", "/threads/ID") if row.creates else row
        missing = await ask(serving, caller, reading, MISSING[row.kind])
        assert missing[0] == 404 or not row.creates
        for value in ids[row.kind]:
            assert await ask(serving, caller, row, value) == missing, (who, value)
    assert await snapshot(store) == before


@pytest.mark.parametrize("place", [place for place, row in ROWS.items() if row.kind != "key"])
async def test_the_owner_of_an_id_is_not_refused(serving: LiveServer, place: str) -> None:
    row = ROWS[place]
    ids = await ann_has(serving.runtime.services.store)
    (mine,) = (
        await serving.runtime.services.store.add([new(thread="mine/ann", subject="ann")], max_queued=ALL)
    ).messages
    caller = await admit(serving, ANN)
    row = row._replace(path=row.path.replace("mine%2Ft", "mine%2Fann"))
    if row.path.endswith("/stream"):
        row = row._replace(method="HEAD")  # an open stream has no end
    for value in [mine.id] if place == "forkThread body:message_id" else ids[row.kind]:
        status, _, body = await ask(serving, caller, row, value)
        code = json.loads(body).get("code") if body.startswith("{") else None
        assert code not in REFUSALS, (value, body)
        assert status != 403
        if row.method == "GET" and "?" in row.path and row.kind == "message":
            assert "ID" in body or value not in {each.partition(".")[0] for each in ids["delivery"]}


@pytest.mark.parametrize("place", FRAMES)
async def test_a_foreign_id_in_a_frame_is_answered_like_a_missing_one(serving: LiveServer, place: str) -> None:
    row, store = FRAMES[place], serving.runtime.services.store
    ids = await ann_has(store)
    before = await snapshot(store)
    for who, stranger in STRANGERS.items():
        if not concerns(who, row) or (row.creates and who.startswith("another tenant")):
            continue
        caller = await admit(serving, stranger)
        gone = await ask(serving, caller, Row("thread", "GET", "/threads/ID"), MISSING["thread"])
        async with connect(
            serving.url.replace("http", "ws") + "/ws", additional_headers={"X-API-Key": caller}
        ) as socket:
            talk = Talk(socket)

            async def told(value: str, talk: Talk = talk) -> Any:
                answer = await talk.ask(row.method, **row.with_id(value)[2])
                assert answer["type"] == "error", answer
                return json.loads(without(json.dumps(answer["problem"]), value))

            missing = json.loads(gone[2]) if row.creates else await told(MISSING[row.kind])
            for value in ids[row.kind]:
                assert await told(value) == missing, (who, value)
    assert await snapshot(store) == before


WHOLE_TENANT = ("/deliveries", "/queue", "/dead-letters/groups")


@pytest.mark.usefixtures("control")
async def test_a_fork_into_a_thread_that_its_caller_may_not_see_is_refused_like_a_missing_one(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await issue(server)
    bob = STRANGERS["another subject"]
    callers = {
        "bob/": bob,
        "of/": bob._replace(threads=ThreadNarrowing(prefix="of/")),
        "mine/": STRANGERS["other threads"],
        "any/": STRANGERS["other agents"],
    }
    store = server.runtime.services.store
    for owner in ("ann", None):
        await store.add([new(thread=f"of/{owner}", subject=owner)], max_queued=ALL)
    await store.draft_thread("default", "of/draft")
    for prefix, principal in callers.items():
        caller = await admit(server, principal)
        agent = next(iter(principal.agents or ("chat",)))
        source = {**HELLO, "thread_id": f"{prefix}source", "agent": agent}
        headers = {"X-API-Key": caller, **JSON, "Prefer": "wait=60"}
        body = json.dumps(source).encode()
        sent = await wire.request(server.url, "POST", "/messages", headers=headers, body=body)
        assert sent.json()["state"] == "completed"
        row = Row("thread", "POST", f"/threads/{quote(prefix, safe='')}source/fork", {"thread_id": "ID"})
        missing = await ask(server, caller, Row("thread", "GET", "/threads/ID"), MISSING["thread"])
        assert missing[0] == 404
        unseen = {"of/draft", *({"of/ann", "of/None"} if principal.agents is None else ())}
        for value in unseen:
            assert await ask(server, caller, row, value) == missing, (prefix, value)
        for value in {"of/ann", "of/None", f"{prefix}source"} - unseen:
            assert (await ask(server, caller, row, value))[0] == 409, (prefix, value)
        assert (await ask(server, caller, row, f"{prefix}free"))[0] == 201


async def test_lists_show_nothing_of_others(serving: LiveServer) -> None:
    store = serving.runtime.services.store
    ids = await ann_has(store)
    ours = {*ids["message"], *ids["thread"]}
    for who, stranger in STRANGERS.items():
        caller = await admit(serving, stranger)
        for path in (
            "/messages",
            "/dead-letters",
            "/threads",
            "/deliveries",
            "/queue",
            "/dead-letters/groups",
            "/agents",
        ):
            response = await wire.request(serving.url, "GET", path, headers={"X-API-Key": caller})
            if stranger.is_narrowed and path in WHOLE_TENANT:
                assert (response.status, response.json()["code"]) == (403, "insufficient_scope")
                continue
            assert response.status == 200
            shown = ours if who != "other agents" or path != "/threads" else set(ids["message"])
            assert not [each for each in shown if json.dumps(each) in response.body.decode()], (who, path)
    caller = await admit(serving, ANN)
    response = await wire.request(serving.url, "GET", "/messages", headers={"X-API-Key": caller})
    assert {each["message_id"] for each in response.json()["messages"]} == set(ids["message"])
    response = await wire.request(serving.url, "GET", "/threads", headers={"X-API-Key": caller})
    assert {each["thread_id"] for each in response.json()} == set(ids["thread"])


async def test_a_list_has_only_what_belongs_to_the_wanted_subject(serving: LiveServer) -> None:
    ids = await ann_has(serving.runtime.services.store)
    failed = ids["message"][1]
    for principal in (Principal("default", SCOPES), ANN):
        headers = {"X-API-Key": await admit(serving, principal)}
        for path, field, expected in (
            ("/messages", "message_id", ids["message"]),
            ("/dead-letters", "message_id", [failed]),
            ("/threads", "thread_id", ids["thread"]),
        ):
            found: list[Any] = []
            following = f"{path}?subject=ann&limit=2"
            while following:
                response = await wire.request(serving.url, "GET", following, headers=headers)
                page = response.json()
                found += page if isinstance(page, list) else next(iter(page.values()))
                following = "".join(re.findall(r"<(.*?)>", response.headers.get("link", "")))
            assert sorted(each[field] for each in found) == sorted(expected)
            assert {each["subject"] for each in found} == {"ann"}
        for path in (f"/messages/{failed}", f"/messages/{failed}/status", "/threads/ann%2Ffailed"):
            assert (await wire.request(serving.url, "GET", path, headers=headers)).json()["subject"] == "ann"


async def test_a_bulk_request_touches_only_what_its_caller_sees(serving: LiveServer) -> None:
    store = serving.runtime.services.store
    await ann_has(store)
    before = await snapshot(store)
    caller = await admit(serving, STRANGERS["another subject"])
    for path in ("/messages/cancel", "/dead-letters/requeue", "/dead-letters/purge"):
        body = json.dumps(
            {"filter": {"priority": "normal"}, "expected_count": 1 if path == "/messages/cancel" else 0}
        ).encode()
        response = await wire.request(serving.url, "POST", path, headers={"X-API-Key": caller, **JSON}, body=body)
        assert response.status in (200, 503), response.body
    assert await snapshot(store) == before


async def test_a_cursor_of_another_caller_shows_nothing_of_theirs(serving: LiveServer) -> None:
    await ann_has(serving.runtime.services.store)
    ann, bob = await admit(serving, ANN), await admit(serving, STRANGERS["another subject"])
    for path in ("/messages", "/threads"):
        first = await wire.request(serving.url, "GET", f"{path}?limit=2", headers={"X-API-Key": ann})
        following = re.findall(r"<(.*?)>", first.headers["link"])[0]
        theirs = await wire.request(serving.url, "GET", following, headers={"X-API-Key": bob})
        assert theirs.status == 200
        assert "ann" not in theirs.body.decode()
