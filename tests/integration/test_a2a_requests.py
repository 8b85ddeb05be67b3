"""Calls of A2A by hand: what is refused and how, who may do what, and older clients."""

import json
from typing import Any

import pytest

from app.access.scopes import AccessScope
from app.protocols.a2a.calls import CURSOR
from app.protocols.a2a.rpc import NOT_JSON
from tests import wire
from tests.a2a_clients import call, refusal, result
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue
from tests.servers import LiveServer
from tests.surfaces import check_refused

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"
PARSE, INVALID, METHOD, PARAMS = -32700, -32600, -32601, -32602
NOT_FOUND, PUSH, CONTENT, VERSION = -32001, -32003, -32005, -32009


JSON = {"Content-Type": "application/json"}


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    """The parameters of a call that sends a message."""
    given = {"messageId": "m", "role": "ROLE_USER", "parts": list(parts) or [{"text": "Hi"}], **fields}
    return {"message": given, "configuration": {"returnImmediately": True}}


def configured(**fields: Any) -> dict[str, Any]:
    return {**message(), "configuration": fields}


def old(*parts: Any, role: str = "user") -> dict[str, Any]:
    """The parameters of a call of version 0.3 that sends a message."""
    given = list(parts) or [{"kind": "text", "text": "Hi"}]
    sent = {"kind": "message", "messageId": "m", "role": role, "parts": given}
    return {"message": sent, "configuration": {"blocking": False}}


def file(**fields: str) -> dict[str, Any]:
    return {"kind": "file", "file": fields}


PARSER = ("Failed to parse", "object of type", "bytes-like", "literal", "TextPart", "FileWith", "Struct", "unhashable")
"""Words of the SDK's parsers, which no client is shown."""

WRONG: list[tuple[str, Any, int, str]] = [
    ("SendMessages", {}, METHOD, "There is no method 'SendMessages'"),
    ("SendMessage", [], PARAMS, "params: expected an object"),
    ("SendMessage", {}, PARAMS, "message: expected a message"),
    ("SendMessage", {"message": {}}, PARAMS, "message.role: expected ROLE_USER"),
    ("SendMessage", {"message": 1}, PARAMS, "message: expected an object"),
    ("SendMessage", {"message": "x"}, PARAMS, "message: expected an object"),
    ("SendMessage", {"message": []}, PARAMS, "message: expected an object"),
    ("SendMessage", message(messageId=5), PARAMS, "message.messageId: expected a text"),
    ("SendMessage", message(message_id=5, messageId=None), PARAMS, "message.messageId: expected a text"),
    ("SendMessage", message(message_id=5), PARAMS, "message.messageId: expected a text"),
    ("SendMessage", message(metadata="x"), PARAMS, "message.metadata: expected an object"),
    ("SendMessage", message(referenceTaskIds="x"), PARAMS, "message.referenceTaskIds: expected an array"),
    ("SendMessage", message(referenceTaskIds=[None]), PARAMS, "message.referenceTaskIds.0: expected a text"),
    ("SendMessage", message(role=[]), PARAMS, "message.role: expected one of ROLE_UNSPECIFIED, ROLE_USER"),
    ("SendMessage", message(role=True), PARAMS, "message.role: expected one of ROLE_UNSPECIFIED, ROLE_USER"),
    ("SendMessage", message({"text": 5}), PARAMS, "message.parts.0.text: expected a text"),
    ("SendMessage", message({"text": "x"}, {"raw": 5}), PARAMS, "message.parts.1.raw: expected data in base64"),
    ("SendMessage", message({"data": {"a": [10**400]}}), PARAMS, "message.parts.0.data: expected numbers below"),
    ("SendMessage", message(contextId=".."), PARAMS, "message.contextId: expected another id than `.` and `..`"),
    ("SendMessage", message(contextId="."), PARAMS, "message.contextId: expected another id than `.` and `..`"),
    ("SendMessage", configured(historyLength="x"), PARAMS, "configuration.historyLength: expected a whole number"),
    ("SendMessage", configured(historyLength=1.5), PARAMS, "configuration.historyLength: expected a whole number"),
    ("SendMessage", configured(historyLength=True), PARAMS, "configuration.historyLength: expected a whole number"),
    ("SendMessage", configured(returnImmediately="x"), PARAMS, "returnImmediately: expected true or false"),
    ("SendMessage", message(role="ROLE_AGENT"), PARAMS, "message.role: expected ROLE_USER"),
    ("SendMessage", message(role="ROLE_ODD"), PARAMS, "message.role"),
    ("SendMessage", message(messageId=""), PARAMS, "message.messageId"),
    ("SendMessage", message(messageId="m" * 256), PARAMS, "message.messageId"),
    ("SendMessage", message(contextId="c" * 256), PARAMS, "message.contextId"),
    ("SendMessage", message({"text": " "}), PARAMS, "message.parts: expected a text that is not blank"),
    ("SendMessage", message({}), PARAMS, "message.parts"),
    ("SendMessage", message({"text": "a\x00"}), PARAMS, "NUL"),
    ("SendMessage", message(*[{"text": "x"}] * 101), PARAMS, "at most 100 parts"),
    (
        "SendMessage",
        message({"url": "file:///etc/passwd"}),
        PARAMS,
        "message.parts.0.url: expected http:// or https:// with a host. Give the data of a file as `raw`",
    ),
    ("SendMessage", message({"raw": "", "mediaType": "image/png"}), PARAMS, "message.parts.0.raw: expected data"),
    (
        "SendMessage",
        message({"raw": "aGk=", "mediaType": "odd"}),
        PARAMS,
        "message.parts.0.mediaType: expected a",
    ),
    ("SendMessage", message(metadata={"k" * 65: 1}), PARAMS, "metadata"),
    ("SendMessage", message(taskId="nothing"), NOT_FOUND, "nothing"),
    ("SendMessage", message(referenceTaskIds=["nothing"]), NOT_FOUND, "nothing"),
    ("SendMessage", {**message(), "tenant": "other"}, PARAMS, "tenant: the tenant is that of the credential"),
    ("SendMessage", configured(acceptedOutputModes=["audio/wav"]), CONTENT, "acceptedOutputModes"),
    ("SendMessage", configured(historyLength=-1), PARAMS, "historyLength"),
    ("SendMessage", configured(taskPushNotificationConfig={"url": "https://a.example"}), PUSH, "WEBHOOK_SECRET"),
    ("CreateTaskPushNotificationConfig", {"taskId": "nothing", "url": "https://a.example"}, PUSH, "WEBHOOK_SECRET"),
    ("GetTaskPushNotificationConfig", {"taskId": "nothing"}, PUSH, "WEBHOOK_SECRET"),
    ("ListTaskPushNotificationConfigs", {"taskId": "nothing"}, PUSH, "WEBHOOK_SECRET"),
    ("DeleteTaskPushNotificationConfig", {"taskId": "nothing"}, PUSH, "WEBHOOK_SECRET"),
    ("SendStreamingMessage", {}, PARAMS, "message: expected a message"),
    ("GetTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("GetTask", {"id": "nothing", "historyLength": -1}, PARAMS, "historyLength"),
    ("GetTask", {"id": 1}, PARAMS, "id: expected a text"),
    ("ListTasks", {"pageSize": 101}, PARAMS, "pageSize: expected 1 to 100"),
    ("ListTasks", {"pageToken": "x"}, PARAMS, "pageToken"),
    ("ListTasks", {"historyLength": -1}, PARAMS, "historyLength"),
    ("ListTasks", {"statusTimestampAfter": "x"}, PARAMS, "statusTimestampAfter: expected a time of RFC 3339"),
    ("ListTasks", {"statusTimestampAfter": 1}, PARAMS, "statusTimestampAfter: expected a time of RFC 3339"),
    ("ListTasks", {"statusTimestampAfter": "2030-01-01T00:00:00Z"}, PARAMS, "statusTimestampAfter"),
    ("CancelTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("SubscribeToTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("message/send", {}, PARAMS, "message: Field required"),
    ("message/send", {"message": 1}, PARAMS, "message: expected an object"),
    ("message/send", old(role="odd"), PARAMS, "message.role: Input should be 'agent' or 'user'"),
    ("message/send", old(role="agent"), PARAMS, "message.role: expected user, since agents answer users"),
    ("message/send", old({"kind": "odd"}), PARAMS, "message.parts.0.kind: expected one of text, file and data"),
    ("message/send", old({"kind": "text"}), PARAMS, "message.parts.0.text: Field required"),
    ("message/send", old({"kind": "data", "data": 5}), PARAMS, "message.parts.0.data: expected an object"),
    ("message/send", old(file(bytes="!!!notb64")), PARAMS, "message.parts.0.file.bytes: expected data in base64"),
    ("message/stream", old(file(bytes="!!!notb64")), PARAMS, "message.parts.0.file.bytes: expected data in base64"),
    (
        "message/send",
        old(file(uri="file:///etc")),
        PARAMS,
        "message.parts.0.file.uri: expected http://",
    ),
    ("message/send", old(file(uri="file:///etc")), PARAMS, "Give the data of a file as `file.bytes`"),
    ("message/send", old(file(bytes="aGk=", mimeType="x")), PARAMS, "message.parts.0.file.mimeType: expected a media"),
    ("tasks/get", {"id": 1}, PARAMS, "id: Input should be a valid string"),
    ("tasks/get", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("tasks/list", {}, METHOD, "tasks/list"),
]


async def test_wrong_calls_are_refused_by_name_and_store_nothing(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    wrong = []
    for method, params, code, told in WRONG:
        reply = (await call(server, method, params)).json()
        error = reply.get("error", {"code": None, "message": ""})
        if error["code"] != code or told not in error["message"] or any(word in error["message"] for word in PARSER):
            wrong.append((method, params, code, told, reply))
    assert wrong == []
    assert (await server.client.get("/queue")).json()["total_queued"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", PARSE),
        (b'{"jsonrpc": NaN}', PARSE),
        (b"[" * 300 + b"]" * 300, PARSE),
        (b"[]", INVALID),
        (b"1", INVALID),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}', INVALID),
        (b'{"jsonrpc": "2.0", "id": true, "method": "GetTask"}', INVALID),
        (b'{"jsonrpc": "2.0", "id": [], "method": "GetTask"}', INVALID),
        (b'{"jsonrpc": "2.0", "id": 1}', INVALID),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "\\ud800"}}', PARSE),
    ],
)
async def test_bodies_that_are_no_calls(quiet: LiveServer, body: bytes, code: int) -> None:
    response = await wire.request(quiet.url, "POST", "/a2a/chat", headers=JSON, body=body)
    assert (response.status, response.json()["error"]["code"]) == (200, code), response
    if code == PARSE:
        assert response.json()["error"]["message"] == NOT_JSON


async def test_a_batch_is_told_to_come_as_single_calls(quiet: LiveServer) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
    body = json.dumps([one, one]).encode()
    response = await wire.request(quiet.url, "POST", "/a2a/chat", headers=JSON, body=body)
    assert (response.status, "one by one" in response.json()["error"]["message"]) == (200, True)


async def test_versions_are_told_by_the_header_or_the_method(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    for version in ("1.0", "1.1", ""):
        assert (await refusal(server, "GetTask", {"id": "x"}, A2A_Version=version))[0] == NOT_FOUND
    assert (await refusal(server, "tasks/get", {"id": "x"}, A2A_Version="0.3"))[0] == NOT_FOUND
    for method, version in (("GetTask", "2.0"), ("GetTask", "0.3"), ("tasks/get", "1.0"), ("GetTask", "x")):
        code, told = await refusal(server, method, {"id": "x"}, A2A_Version=version)
        assert code == VERSION
        assert told.startswith(
            "The method " if version in ("0.3", "1.0") else "This server speaks the versions 1.0 and"
        )


async def test_a_request_is_repeated_by_its_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    first = await result(server, "SendMessage", message(), Idempotency_Key="k")
    again = await result(server, "SendMessage", message(), Idempotency_Key="k")
    assert first["task"]["id"] == again["task"]["id"]
    assert first["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert (await refusal(server, "SendMessage", message({"text": "Other"}), Idempotency_Key="k"))[0] == PARAMS
    assert (await server.client.get("/queue")).json()["total_queued"] == 1


async def test_each_method_needs_its_scope(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    full, reads = await issue(server), await issue(server, AccessScope.READ)
    task = (await result(server, "SendMessage", message(), Authorization=bearer(full)["Authorization"]))["task"]
    assert (await call(server, "GetTask", {"id": task["id"]})).status == 401
    key = bearer(reads)["Authorization"]
    assert (await result(server, "GetTask", {"id": task["id"]}, Authorization=key))["id"] == task["id"]
    for method, params in (("SendMessage", message()), ("CancelTask", {"id": task["id"]})):
        refused = await call(server, method, params, Authorization=key)
        assert method in check_refused(refused, "/a2a", 403, "")
    card = await wire.request(server.url, "GET", "/a2a/steps/.well-known/agent-card.json", headers=bearer(reads))
    assert card.json()["securityRequirements"]
    for path in ("/.well-known/agent-card.json", "/a2a/steps/.well-known/agent-card.json"):
        assert (await wire.request(server.url, "GET", path)).status == 401


async def test_an_answer_to_a_question_needs_the_scope_of_other_answers(serve: Serve, control: GraphControl) -> None:
    """It goes on with what another caller began. A config that the server cannot serve refuses the whole answer."""
    server = await serve(agents=AGENTS)
    full, submits = await issue(server), await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    every = bearer(full)["Authorization"]
    asks = {"message": message()["message"]}
    task = (await result(server, "SendMessage", asks, agent="approving", Authorization=every))["task"]
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    answer = message(taskId=task["id"])
    key = bearer(submits)["Authorization"]
    refused = await call(server, "SendMessage", answer, agent="approving", Authorization=key)
    assert "control" in check_refused(refused, "/a2a", 403, "")
    with_config = {**answer, "configuration": {"taskPushNotificationConfig": {"url": "https://a.example"}}}
    code, told = await refusal(server, "SendMessage", with_config, agent="approving", Authorization=every)
    assert (code, "WEBHOOK_SECRET" in told) == (PUSH, True)
    found = await result(server, "GetTask", {"id": task["id"]}, agent="approving", Authorization=every)
    assert found["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"


async def test_clients_of_version_0_3_are_served(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    text = [{"kind": "text", "text": "Go"}]
    sent = {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": text}}
    task = await result(server, "message/send", sent, agent="approving")
    assert (task["kind"], task["status"]["state"]) == ("task", "input-required")
    answer = {"kind": "message", "messageId": "n", "role": "user", "parts": text, "taskId": task["id"]}
    streamed = await call(server, "message/stream", {"message": answer}, agent="approving")
    items = [json.loads(line[6:])["result"] for line in streamed.body.decode().splitlines() if line.startswith("data:")]
    assert [item["kind"] for item in items][:1] == ["task"]
    assert (items[-1]["kind"], items[-1]["status"]["state"], items[-1]["final"]) == ("status-update", "completed", True)
    found = await result(server, "tasks/get", {"id": task["id"]}, agent="approving")
    assert (found["id"], found["contextId"]) == (task["id"], task["contextId"])
    card = await result(server, "agent/getAuthenticatedExtendedCard", agent="approving")
    assert (card["url"], card["protocolVersion"]) == (f"{server.url}/a2a/approving", "0.3")
    assert (await refusal(server, "tasks/cancel", {"id": task["id"]}, agent="approving"))[0] == -32002


async def test_cursors_are_told_to_clients_that_ask_for_them(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    plain = await call(server, "SendStreamingMessage", message())
    assert CURSOR not in plain.body.decode()
    assert "id: 0\n" in plain.body.decode()
    asked = await call(server, "SendStreamingMessage", message(), A2A_Extensions=f"urn:other, {CURSOR}")
    assert asked.headers["a2a-extensions"] == CURSOR
    assert f'"{CURSOR}":{{"cursor":"1"}}' in asked.body.decode()
