"""Calls of A2A by hand: what is refused and how, who may do what, older clients, and push notifications."""

import json
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from app.access.scopes import AccessScope
from app.protocols.a2a.calls import CURSOR
from tests import wire
from tests.a2a_clients import ReadTask, call, refusal, result, said, sdk
from tests.callers import admit
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue
from tests.integration.test_visibility import STRANGERS
from tests.receiver import receiver
from tests.servers import LiveServer, until
from tests.surfaces import check_refused

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"
PARSE, INVALID, METHOD, PARAMS = -32700, -32600, -32601, -32602
NOT_FOUND, UNSUPPORTED, CONTENT, VERSION = -32001, -32004, -32005, -32009


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    """The parameters of a call that sends a message."""
    given = {"messageId": "m", "role": "ROLE_USER", "parts": list(parts) or [{"text": "Hi"}], **fields}
    return {"message": given, "configuration": {"returnImmediately": True}}


def configured(**fields: Any) -> dict[str, Any]:
    return {**message(), "configuration": fields}


WRONG: list[tuple[str, Any, int, str]] = [
    ("SendMessages", {}, METHOD, "There is no method 'SendMessages'"),
    ("SendMessage", [], PARAMS, "params: expected an object"),
    ("SendMessage", {}, PARAMS, "message.role"),
    ("SendMessage", {"message": 1}, PARAMS, "params"),
    ("SendMessage", message(role="ROLE_AGENT"), PARAMS, "message.role: expected ROLE_USER"),
    ("SendMessage", message(role="ROLE_ODD"), PARAMS, "message.role"),
    ("SendMessage", message(messageId=""), PARAMS, "message.messageId"),
    ("SendMessage", message(messageId="m" * 256), PARAMS, "message.messageId"),
    ("SendMessage", message(contextId="c" * 256), PARAMS, "message.contextId"),
    ("SendMessage", message({"text": " "}), PARAMS, "message.parts: expected a text that is not blank"),
    ("SendMessage", message({}), PARAMS, "message.parts"),
    ("SendMessage", message({"text": "a\x00"}), PARAMS, "NUL"),
    ("SendMessage", message(*[{"text": "x"}] * 101), PARAMS, "at most 100 parts"),
    ("SendMessage", message({"url": "file:///etc/passwd"}), PARAMS, "message.parts: expected http"),
    ("SendMessage", message({"raw": "", "mediaType": "image/png"}), PARAMS, "message.parts"),
    ("SendMessage", message({"raw": "aGk=", "mediaType": "odd"}), PARAMS, "message.parts: expected a media type"),
    ("SendMessage", message(metadata={"k" * 65: 1}), PARAMS, "metadata"),
    ("SendMessage", message(taskId="nothing"), NOT_FOUND, "nothing"),
    ("SendMessage", message(referenceTaskIds=["nothing"]), NOT_FOUND, "nothing"),
    ("SendMessage", {**message(), "tenant": "other"}, PARAMS, "tenant: the tenant is that of the credential"),
    ("SendMessage", configured(acceptedOutputModes=["audio/wav"]), CONTENT, "acceptedOutputModes"),
    ("SendMessage", configured(historyLength=-1), PARAMS, "historyLength"),
    ("SendMessage", configured(taskPushNotificationConfig={"url": "https://a.example"}), PARAMS, "webhook_url"),
    ("SendStreamingMessage", {}, PARAMS, "message.role"),
    ("GetTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("GetTask", {"id": "nothing", "historyLength": -1}, PARAMS, "historyLength"),
    ("GetTask", {"id": 1}, PARAMS, "params"),
    ("ListTasks", {"pageSize": 101}, PARAMS, "pageSize: expected 1 to 100"),
    ("ListTasks", {"pageToken": "x"}, PARAMS, "pageToken"),
    ("ListTasks", {"statusTimestampAfter": "2030-01-01T00:00:00Z"}, PARAMS, "statusTimestampAfter"),
    ("CancelTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("SubscribeToTask", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("CreateTaskPushNotificationConfig", {"taskId": "nothing"}, NOT_FOUND, "nothing"),
    ("GetTaskPushNotificationConfig", {"taskId": "nothing"}, NOT_FOUND, "nothing"),
    ("ListTaskPushNotificationConfigs", {"taskId": "nothing"}, NOT_FOUND, "nothing"),
    ("DeleteTaskPushNotificationConfig", {"taskId": "nothing"}, NOT_FOUND, "nothing"),
    ("message/send", {}, PARAMS, "message"),
    ("message/send", {"message": {"messageId": "m", "role": "odd", "parts": []}}, PARAMS, "role"),
    ("tasks/get", {"id": "nothing"}, NOT_FOUND, "nothing"),
    ("tasks/list", {}, METHOD, "tasks/list"),
]


async def test_wrong_calls_are_refused_by_name_and_store_nothing(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    for method, params, code, told in WRONG:
        refused = await refusal(server, method, params)
        assert refused[0] == code, (method, params, refused)
        assert told in refused[1], (method, params, refused)
    assert (await server.client.get("/queue")).json()["total_queued"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", PARSE),
        (b'{"jsonrpc": NaN}', PARSE),
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
    headers = {"Content-Type": "application/json"}
    response = await wire.request(quiet.url, "POST", "/a2a/chat", headers=headers, body=body)
    assert (response.status, response.json()["error"]["code"]) == (200, code), response


async def test_versions_are_told_by_the_header_or_the_method(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    for version in ("1.0", "1.1", ""):
        assert (await refusal(server, "GetTask", {"id": "x"}, A2A_Version=version))[0] == NOT_FOUND
    assert (await refusal(server, "tasks/get", {"id": "x"}, A2A_Version="0.3"))[0] == NOT_FOUND
    for method, version in (("GetTask", "2.0"), ("GetTask", "0.3"), ("tasks/get", "1.0"), ("GetTask", "x")):
        assert (await refusal(server, method, {"id": "x"}, A2A_Version=version))[0] == VERSION


async def test_a_request_is_repeated_by_its_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    first = await result(server, "SendMessage", message(), Idempotency_Key="k")
    again = await result(server, "SendMessage", message(), Idempotency_Key="k")
    assert first["task"]["id"] == again["task"]["id"]
    assert first["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert (await refusal(server, "SendMessage", message({"text": "Other"}), Idempotency_Key="k"))[0] == PARAMS
    assert (await server.client.get("/queue")).json()["total_queued"] == 1


async def test_tasks_of_others_are_like_missing_ones(serve: Serve) -> None:
    """Other tenants, end users, threads, and agents. Another agent's address does not have the task either."""
    server = await serve(worker_concurrency=0, agents="chat=tests.graphs:steps,coder=tests.graphs:steps")
    owner = await admit(server, STRANGERS["another tenant"]._replace(tenant="default", subject="ann"))
    task = (await result(server, "SendMessage", message(contextId="t"), agent="chat", key=owner))["task"]
    calls = [
        ("GetTask", {"id": task["id"]}),
        ("CancelTask", {"id": task["id"]}),
        ("SubscribeToTask", {"id": task["id"]}),
        ("SendMessage", message(taskId=task["id"])),
        ("SendMessage", message(contextId="t", referenceTaskIds=[task["id"]])),
        *((f"{verb}TaskPushNotificationConfig", {"taskId": task["id"]}) for verb in ("Create", "Get", "Delete")),
        ("ListTaskPushNotificationConfigs", {"taskId": task["id"]}),
    ]
    for who, stranger in STRANGERS.items():
        key = await admit(server, stranger)
        agent = "coder" if stranger.agents else "chat"
        for method, params in calls:
            if stranger.threads is not None and "contextId" in str(params):
                continue
            assert (await refusal(server, method, params, agent=agent, key=key))[0] == NOT_FOUND, (who, method)
        assert (await result(server, "ListTasks", {"contextId": "t"}, agent=agent, key=key)).get("tasks", []) == []
    assert (await refusal(server, "GetTask", {"id": task["id"]}, agent="coder", key=owner))[0] == NOT_FOUND
    hidden = await call(
        server, "GetTask", {"id": "x"}, agent="chat", key=await admit(server, STRANGERS["other agents"])
    )
    check_refused(hidden, "/a2a", 404, "")
    mine = await result(server, "GetTask", {"id": task["id"]}, agent="chat", key=owner)
    assert mine["status"]["state"] == "TASK_STATE_SUBMITTED"


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


async def test_a_task_that_is_watched_by_push_is_reported(serve: Serve, control: GraphControl) -> None:
    secret = "whsec_" + "c2VjcmV0" * 4
    server = await serve(agents=AGENTS, webhook_secret=secret, webhook_allow_private=True)
    async with receiver() as there, sdk(server, "approving", streaming=False) as client:
        push = pb.TaskPushNotificationConfig(id="mine", url=there.url(), token="known")
        watched = pb.SendMessageConfiguration(task_push_notification_config=push, return_immediately=True)
        task = ReadTask()
        async for item in client.send_message(said("Go", configuration=watched)):
            task.take(item)
        await until(lambda: there.requests, "the question is reported")
        request = there.requests[0]
        assert request.headers["x-a2a-notification-token"] == "known"
        assert "webhook-signature" in request.headers
        told = ParseDict(json.loads(request.body), pb.StreamResponse()).task
        assert (told.id, told.context_id) == (task.task_id, task.context_id)
        assert told.status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
        named = pb.GetTaskPushNotificationConfigRequest(task_id=task.task_id, id="mine")
        config = await client.get_task_push_notification_config(named)
        assert (config.url, config.token, config.id) == (there.url(), "known", "mine")
        listed = await client.list_task_push_notification_configs(
            pb.ListTaskPushNotificationConfigsRequest(task_id=task.task_id)
        )
        assert [each.id for each in listed.configs] == ["mine"]
        await result(server, "SendMessage", message(taskId=task.task_id), agent="approving")
        await until(lambda: len(there.requests) > 1, "the end is reported")
        told = ParseDict(json.loads(there.requests[1].body), pb.StreamResponse()).task
        assert told.status.state == pb.TaskState.TASK_STATE_COMPLETED
        ended = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert told.artifacts[0].parts[0].text == ended.artifacts[0].parts[0].text
        about = {"taskId": task.task_id, "id": "mine"}
        for verb, given in (("Create", {**about, "url": there.url()}), ("Delete", about)):
            refused = await refusal(server, f"{verb}TaskPushNotificationConfig", given, agent="approving")
            assert refused[0] == UNSUPPORTED
            assert "configuration.taskPushNotificationConfig" in refused[1]
        other = {"taskId": task.task_id, "id": "other"}
        assert (await refusal(server, "GetTaskPushNotificationConfig", other, agent="approving"))[0] == NOT_FOUND
    odd = configured(taskPushNotificationConfig={"url": "https://a.example", "token": "a\nb"})
    assert "token" in (await refusal(server, "SendMessage", odd))[1]
    signed = configured(taskPushNotificationConfig={"url": "https://a.example", "authentication": {"scheme": "Bearer"}})
    assert "authentication" in (await refusal(server, "SendMessage", signed))[1]


async def test_cursors_are_told_to_clients_that_ask_for_them(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    plain = await call(server, "SendStreamingMessage", message())
    assert CURSOR not in plain.body.decode()
    assert "id: 0\n" in plain.body.decode()
    asked = await call(server, "SendStreamingMessage", message(), A2A_Extensions=f"urn:other, {CURSOR}")
    assert asked.headers["a2a-extensions"] == CURSOR
    assert f'"{CURSOR}":{{"cursor":"1"}}' in asked.body.decode()
