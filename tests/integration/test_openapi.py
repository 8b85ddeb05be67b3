"""The description of the API: complete, and up to date in the documents. `test_fuzzing` holds the server to it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.models.events import EventType
from tests.servers import ROOT, LiveServer


def operations_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_the_document_is_what_the_server_tells(quiet: LiveServer) -> None:
    told = (await quiet.client.get("/openapi.json")).json()
    assert told == json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text("utf-8"))


async def test_every_operation_is_described(quiet: LiveServer) -> None:
    schema = (await quiet.client.get("/openapi.json")).json()
    operations = dict(operations_of(schema))
    assert set(operations) >= {
        "POST /messages",
        "GET /messages/{message_id}/status",
        "GET /messages/{message_id}/stream",
        "DELETE /messages/{message_id}",
        "GET /queue",
        "GET /health",
        "GET /threads",
        "POST /threads",
        "GET /threads/{thread_id}",
        "GET /threads/{thread_id}/messages",
        "GET /threads/{thread_id}/state",
        "POST /threads/{thread_id}/state",
        "POST /threads/{thread_id}/fork",
        "PATCH /threads/{thread_id}",
        "DELETE /threads/{thread_id}",
        "GET /threads/{thread_id}/history",
        "POST /messages/batch",
        "GET /messages",
        "GET /messages/{message_id}",
        "PATCH /messages/{message_id}",
        "POST /messages/{message_id}/cancel",
        "POST /messages/{message_id}/resume",
        "POST /messages/{message_id}/regenerate",
        "POST /messages/{message_id}/retry",
        "POST /messages/cancel",
        "POST /queue/pause",
        "POST /queue/resume",
        "GET /dead-letters",
        "GET /dead-letters/groups",
        "POST /dead-letters/requeue",
        "POST /dead-letters/purge",
        "GET /messages/{message_id}/deliveries",
        "GET /deliveries",
        "POST /deliveries/{delivery_id}/replay",
        "GET /",
    }
    identifiers = [operation["operationId"] for operation in operations.values()]
    assert len(set(identifiers)) == len(identifiers)
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        declared = operation["responses"]
        assert "422" in declared, name
        if name == "GET /" or name.startswith("GET /health"):  # open to everybody
            assert not {"401", "403"} & declared.keys(), name
            continue
        assert {"401", "403", "503"} <= declared.keys(), name
        if "{" in name:
            assert "404" in declared, name
        for status, response in declared.items():
            if status.startswith(("4", "5")):
                assert list(response["content"]) == ["application/problem+json"], f"{name} {status}"
    submit = operations["POST /messages"]["responses"]
    assert {"202", "401", "413", "415", "422", "503"} <= submit.keys()
    assert "409" in operations["DELETE /messages/{message_id}"]["responses"]
    assert "text/event-stream" in operations["GET /messages/{message_id}/stream"]["responses"]["200"]["content"]


async def test_json_is_the_first_answer_to_a_submit(quiet: LiveServer) -> None:
    """Swagger UI asks for the first type of the first reply that has one."""
    submit = (await quiet.client.get("/openapi.json")).json()["paths"]["/messages"]["post"]["responses"]
    replies = [response for status, response in submit.items() if status.startswith("2") and response.get("content")]
    assert [list(reply["content"]) for reply in replies] == [
        ["application/json", "text/event-stream"],
        ["application/json"],
    ]
    assert replies[0]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/MessageStatus"}


async def test_every_reference_leads_somewhere_and_every_schema_is_used(quiet: LiveServer) -> None:
    schema = (await quiet.client.get("/openapi.json")).json()
    text = json.dumps(schema)
    for name in schema["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schema["components"]["schemas"]


async def test_the_events_are_a_union_by_their_types(quiet: LiveServer) -> None:
    schemas = (await quiet.client.get("/openapi.json")).json()["components"]["schemas"]
    stored = {str(kind) for kind in EventType}
    for name, kinds in (("StoredEvent", stored), ("StreamEvent", stored | {"waiting", "reset"})):
        union = schemas[name]
        assert union["discriminator"]["propertyName"] == "type"
        assert union["discriminator"]["mapping"].keys() == kinds
        for kind, reference in union["discriminator"]["mapping"].items():
            member = schemas[reference.rpartition("/")[2]]
            assert member["properties"]["type"]["const"] == kind
            assert {"id", "type", "data"} <= set(member["required"])
            assert schemas[member["properties"]["data"]["$ref"].rpartition("/")[2]]["description"]
    assert schemas["EventList"]["properties"]["events"]["items"] == {"$ref": "#/components/schemas/StoredEvent"}


OWN_SOURCES = {"'none'", "'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_pages_fetch_nothing_from_elsewhere(quiet: LiveServer, path: str) -> None:
    """The server has all that a page names, and a policy keeps a browser from all else that scripts name."""
    page = await quiet.client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in page.text
    assert not re.findall(r"""["'(](?:https?:)?//[^"')]*""", page.text), "named by the page"
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert loaded
    for target in loaded:
        assert (await quiet.client.get(target)).status_code == 200, target
    policy = dict(part.split(maxsplit=1) for part in page.headers["content-security-policy"].split(";"))
    assert "default-src" in policy
    assert {source for sources in policy.values() for source in sources.split()} <= OWN_SOURCES
