"""Push notification configs of A2A's tasks: set, read, listed and deleted; what receivers get, and who may do what."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import MessageToDict, ParseDict

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.config import signing_keys
from app.delivery_manager import MAX_RECEIVERS
from app.models.attempts import Completed
from app.models.deliveries import WebhookEvent
from app.webhooks.sender import REMOVED, signed
from app.webhooks.task_bodies import OLD_STATES, STATES
from tests.a2a_clients import ReadTask, call, refusal, result, said, sdk
from tests.callers import admit
from tests.contract.builders import claim_one
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_a2a_requests import NOT_FOUND, PARAMS, message
from tests.integration.test_keys import bearer, issue
from tests.receiver import Received, receiver
from tests.servers import LiveServer, until
from tests.surfaces import check_refused

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"
HOOKS: dict[str, Any] = {"webhook_secret": "whsec_" + "c2VjcmV0" * 4, "webhook_allow_private": True, "agents": AGENTS}
EVERYTHING = frozenset(AccessScope)


@pytest.fixture
async def server(serve: Serve, control: GraphControl) -> LiveServer:
    """A server that sends push notifications to this host too."""
    return await serve(**HOOKS)


@pytest.fixture
async def idle(serve: Serve) -> LiveServer:
    """The same without workers."""
    return await serve(worker_concurrency=0, **HOOKS)


def config(task_id: str, url: str, id: str = "", token: str = "") -> pb.TaskPushNotificationConfig:
    return pb.TaskPushNotificationConfig(task_id=task_id, url=url, id=id, token=token)


def told(request: Received) -> pb.Task:
    """The task that a receiver of 1.0 is told."""
    return ParseDict(json.loads(request.body), pb.StreamResponse()).task


def told_in_0_3(request: Received) -> Any:
    """The JSON of the task that a receiver of 0.3 is told, which is one of the SDK's."""
    return old_types.Task.model_validate_json(request.body).model_dump(mode="json", by_alias=True, exclude_none=True)


async def waiting(server: LiveServer, agent: str = "steps", key: str = "") -> str:
    """The id of a new task."""
    task: dict[str, Any] = (await result(server, "SendMessage", message(), agent=agent, key=key))["task"]
    return str(task["id"])


async def test_a_task_that_is_watched_by_push_is_reported(server: LiveServer) -> None:
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
        assert (told(request).id, told(request).context_id) == (task.task_id, task.context_id)
        assert told(request).status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
        await result(server, "SendMessage", message(taskId=task.task_id), agent="approving")
        await until(lambda: len(there.requests) > 1, "the end is reported")
        assert told(there.requests[1]).status.state == pb.TaskState.TASK_STATE_COMPLETED
        ended = await client.get_task(pb.GetTaskRequest(id=task.task_id))
        assert told(there.requests[1]).artifacts[0].parts[0].text == ended.artifacts[0].parts[0].text


async def test_configs_are_set_read_listed_and_deleted_after_the_message(idle: LiveServer) -> None:
    url = "http://127.0.0.1:9/hook"
    task_id = await waiting(idle)
    async with sdk(idle) as client:
        unnamed = await client.create_task_push_notification_config(config(task_id, url))
        assert (unnamed.id, unnamed.task_id, unnamed.url) == (task_id, task_id, url)
        named = await client.create_task_push_notification_config(config(task_id, f"{url}/2", "second", "t"))
        assert (named.id, named.token) == ("second", "t")
        wanted = pb.ListTaskPushNotificationConfigsRequest(task_id=task_id)
        assert list((await client.list_task_push_notification_configs(wanted)).configs) == [unnamed, named]
        newer = await client.create_task_push_notification_config(config(task_id, f"{url}/3", task_id, "new"))
        assert list((await client.list_task_push_notification_configs(wanted)).configs) == [named, newer]
        second = pb.GetTaskPushNotificationConfigRequest(task_id=task_id, id="second")
        assert await client.get_task_push_notification_config(second) == named
        for name in (task_id, ""):
            got = pb.GetTaskPushNotificationConfigRequest(task_id=task_id, id=name)
            assert await client.get_task_push_notification_config(got) == newer
        gone = pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="second")
        for _ in range(2):  # to delete twice is no error
            await client.delete_task_push_notification_config(gone)
        with pytest.raises(TaskNotFoundError, match="no push notification config with the id 'second'"):
            await client.get_task_push_notification_config(second)
        await client.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id=task_id)
        )
        assert not (await client.list_task_push_notification_configs(wanted)).configs
        with pytest.raises(TaskNotFoundError, match="none or several"):
            await client.get_task_push_notification_config(pb.GetTaskPushNotificationConfigRequest(task_id=task_id))


async def test_each_receiver_gets_the_task_with_its_own_token(server: LiveServer, control: GraphControl) -> None:
    control.hold("first")
    async with receiver() as one, receiver() as two, receiver() as removed, sdk(server) as client:
        task_id = await waiting(server)
        await until(lambda: control.waits("first"), "the agent runs")
        for there, name in ((one, "one"), (two, "two"), (removed, "removed")):
            await client.create_task_push_notification_config(config(task_id, there.url(), name, f"token of {name}"))
        await client.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="removed")
        )
        control.release("first")
        await until(lambda: one.requests and two.requests, "both are told")
        ids = set()
        for there, name in ((one, "one"), (two, "two")):
            (request,) = there.requests
            assert request.headers["x-a2a-notification-token"] == f"token of {name}"
            assert told(request).status.state == pb.TaskState.TASK_STATE_COMPLETED
            ids.add(request.headers["webhook-id"])
        assert len(ids) == 2
        assert not removed.requests


async def test_a_receiver_that_was_removed_before_the_try_is_not_called(server: LiveServer) -> None:
    """A receiver that answers 500 is removed before the next try. The delivery then ends."""
    async with receiver() as there, sdk(server, "approving") as client:
        there.answers = [b"HTTP/1.1 500 Odd\r\nContent-Length: 0\r\n\r\n"]
        task_id = await waiting(server, "approving")
        message_path = f"/messages/{task_id}"
        await until(lambda: _state(server, message_path, "interrupted"), "the agent asks")
        await client.create_task_push_notification_config(config(task_id, there.url(), "mine"))
        await result(server, "CancelTask", {"id": task_id}, agent="approving")
        await until(lambda: there.requests, "the first try is made")
        await until(lambda: _deliveries(server, message_path, "attempts"), "the first try is recorded")
        await client.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="mine")
        )
        (delivery,) = await server.runtime.services.store.list_deliveries("default", task_id)
        await server.client.post(f"/deliveries/{delivery.id}/replay")
        await until(lambda: _deliveries(server, message_path, "ended"), "the delivery ends")
        (delivery,) = await server.runtime.services.store.list_deliveries("default", task_id)
        assert (delivery.state.value, delivery.attempts[-1].error) == ("failed", REMOVED)
        assert len(there.requests) == 1


async def _state(server: LiveServer, path: str, state: str) -> bool:
    return bool((await server.client.get(path)).json()["state"] == state)


async def _deliveries(server: LiveServer, path: str, wanted: str) -> bool:
    (found,) = (await server.client.get(f"{path}/deliveries")).json()["deliveries"]
    return bool(found["attempts"] if wanted == "attempts" else found["state"] == "failed")


async def test_clients_of_0_3_set_configs_and_are_told_in_their_form(server: LiveServer) -> None:
    task_id = await waiting(server, "approving")
    await until(lambda: _state(server, f"/messages/{task_id}", "interrupted"), "the agent asks")
    async with receiver() as there:
        given = {"taskId": task_id, "pushNotificationConfig": {"url": there.url(), "token": "old", "id": "mine"}}
        stored = await result(server, "tasks/pushNotificationConfig/set", given, agent="approving")
        assert stored == given
        about = {"id": task_id, "pushNotificationConfigId": "mine"}
        assert await result(server, "tasks/pushNotificationConfig/get", about, agent="approving") == given
        assert await result(server, "tasks/pushNotificationConfig/get", {"id": task_id}, agent="approving") == given
        assert await result(server, "tasks/pushNotificationConfig/list", {"id": task_id}, agent="approving") == [given]
        text = [{"kind": "text", "text": "yes"}]
        answer = {"kind": "message", "messageId": "n", "role": "user", "parts": text, "taskId": task_id}
        ended = await result(server, "message/send", {"message": answer}, agent="approving")
        await until(lambda: there.requests, "the end is told")
        (request,) = there.requests
        assert request.headers["x-a2a-notification-token"] == "old"
        task = told_in_0_3(request)
        assert (task["id"], task["contextId"], task["status"]["state"]) == (task_id, ended["contextId"], "completed")
        assert task["artifacts"][0]["parts"] == ended["artifacts"][0]["parts"]
        assert await result(server, "tasks/pushNotificationConfig/delete", about, agent="approving") is None
        assert await result(server, "tasks/pushNotificationConfig/list", {"id": task_id}, agent="approving") == []


async def test_a_question_an_error_and_data_are_told_in_both_forms(serve: Serve, control: GraphControl) -> None:
    """The message of the status, and data that 0.3 has to wrap."""
    server = await serve(**{**HOOKS, "agents": "approving=tests.graphs:approving,raises=tests.graphs:failing"})
    for agent, state in (("approving", WebhookEvent.INTERRUPTED), ("raises", WebhookEvent.FAILED)):
        async with receiver() as new, receiver() as old:
            pushed = {"taskPushNotificationConfig": {"url": new.url()}, "returnImmediately": True}
            given = {**message(), "configuration": pushed}
            task_id = (await result(server, "SendMessage", given, agent=agent))["task"]["id"]
            sent = {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "Hi"}]}
            configuration = {"pushNotificationConfig": {"url": old.url()}, "blocking": False}
            await result(server, "message/send", {"message": sent, "configuration": configuration}, agent=agent)
            await until(lambda: new.requests and old.requests, "both are told")
            task, older = MessageToDict(told(new.requests[0])), told_in_0_3(old.requests[0])
            assert task["id"] == task_id
            assert (task["status"]["state"], older["status"]["state"]) == (STATES[state], OLD_STATES[state])
            said_new, said_old = [each["status"]["message"]["parts"] for each in (task, older)]
            assert said_new[0]["text"] == said_old[0]["text"] != ""
            if state is WebhookEvent.INTERRUPTED:
                assert said_new[0]["text"] == "May I?"
                assert [part[1]["data"]["interrupts"][0]["value"] for part in (said_new, said_old)] == [
                    {"question": "May I?"}
                ] * 2


async def test_output_that_is_no_object_is_wrapped_for_0_3(idle: LiveServer) -> None:
    store = idle.runtime.services.store
    async with receiver() as there:
        task_id = await waiting(idle)
        given = {"taskId": task_id, "pushNotificationConfig": {"url": there.url()}}
        await result(idle, "tasks/pushNotificationConfig/set", given)
        await store.finish(await claim_one(store, agents=["steps"]), Completed("", output="[1, 2]"))
        await until(lambda: there.requests, "the end is told")
        (part,) = told_in_0_3(there.requests[0])["artifacts"][0]["parts"]
        assert part == {"kind": "data", "data": {"value": [1, 2]}, "metadata": {"data_part_compat": True}}


async def test_an_answer_may_bring_a_receiver(server: LiveServer) -> None:
    task_id = await waiting(server, "approving")
    await until(lambda: _state(server, f"/messages/{task_id}", "interrupted"), "the agent asks")
    async with receiver() as there:
        pushed = {"taskPushNotificationConfig": {"url": there.url(), "token": "t"}, "returnImmediately": True}
        await result(server, "SendMessage", {**message(taskId=task_id), "configuration": pushed}, agent="approving")
        await until(lambda: there.requests, "the end is told")
        assert told(there.requests[0]).status.state == pb.TaskState.TASK_STATE_COMPLETED


async def test_a_repeated_request_with_a_config_is_the_same(idle: LiveServer) -> None:
    configuration = {"taskPushNotificationConfig": {"url": "http://127.0.0.1:9", "token": "t"}}
    given = {**message(), "configuration": {**configuration, "returnImmediately": True}}
    first = await result(idle, "SendMessage", given, Idempotency_Key="k")
    again = await result(idle, "SendMessage", given, Idempotency_Key="k")
    assert first["task"]["id"] == again["task"]["id"]
    configuration["taskPushNotificationConfig"]["token"] = "other"
    assert (await refusal(idle, "SendMessage", given, Idempotency_Key="k"))[0] == PARAMS


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "url: expected the address of the receiver"),
    ({"url": "ftp://a.example"}, "url: "),
    ({"url": "http://169.254.169.254/latest"}, "url: "),
    ({"url": "http://127.0.0.1:9", "token": "a\nb"}, "token: expected at most 1024 printable characters"),
    ({"url": "http://127.0.0.1:9", "token": "t" * 1025}, "token: "),
    ({"url": "http://127.0.0.1:9", "id": "i" * 256}, "id: expected at most 255 characters"),
    ({"url": "http://127.0.0.1:9", "authentication": {"scheme": "Bearer"}}, "authentication: this server signs"),
    ({"url": "http://127.0.0.1:9", "tenant": "other"}, "tenant: the tenant is that of the credential"),
]


@pytest.mark.parametrize(("given", "expected"), WRONG)
async def test_a_config_that_cannot_be_used_is_refused_by_its_field(
    idle: LiveServer, given: dict[str, Any], expected: str
) -> None:
    task_id = await waiting(idle)
    code, text = await refusal(idle, "CreateTaskPushNotificationConfig", {"taskId": task_id, **given})
    assert (code, text.startswith(expected)) == (PARAMS, True), text
    with_message = {**message(), "configuration": {"taskPushNotificationConfig": given}}
    code, text = await refusal(idle, "SendMessage", with_message)
    prefix = "configuration.taskPushNotificationConfig."
    assert (code, text.startswith(prefix + expected)) == (PARAMS, True), text
    assert (await idle.client.get("/queue")).json()["total_queued"] == 1
    assert (await idle.runtime.services.store.get("default", task_id)).receivers == ()


async def test_a_task_has_a_limit_of_configs(idle: LiveServer) -> None:
    task_id = await waiting(idle)
    url = "http://127.0.0.1:9"
    given = [{"taskId": task_id, "url": url, "id": str(number)} for number in range(MAX_RECEIVERS + 3)]
    replies = await asyncio.gather(*(call(idle, "CreateTaskPushNotificationConfig", each) for each in given))
    refused = [reply.json()["error"] for reply in replies if "error" in reply.json()]
    assert len(refused) == 3
    assert {each["code"] for each in refused} == {PARAMS}
    assert "Remove one first" in refused[0]["message"]
    listed = await result(idle, "ListTaskPushNotificationConfigs", {"taskId": task_id})
    assert len(listed["configs"]) == MAX_RECEIVERS


async def test_a_key_that_may_not_set_configs_does_not_see_their_tokens(idle: LiveServer) -> None:
    operator = await admit(idle, Principal("default", EVERYTHING))
    task_id = await waiting(idle, key=operator)
    about = {"taskId": task_id, "id": "ours"}
    given = {**about, "url": "http://127.0.0.1:9", "token": "secret"}
    await result(idle, "CreateTaskPushNotificationConfig", given, key=operator)
    for scopes, is_shown in ((EVERYTHING - {AccessScope.CONTROL}, False), (EVERYTHING, True)):
        key = await admit(idle, Principal("default", scopes))
        found = await result(idle, "GetTaskPushNotificationConfig", about, key=key)
        (listed,) = (await result(idle, "ListTaskPushNotificationConfigs", {"taskId": task_id}, key=key))["configs"]
        assert ("token" in found, "token" in listed) == (is_shown, is_shown)


async def test_an_end_user_neither_sets_configs_nor_sees_their_tokens(idle: LiveServer) -> None:
    """The secret of an API key would sign what the end user's receiver gets."""
    task_id = await waiting(idle, key=await admit(idle, Principal("default", EVERYTHING, subject="ann")))
    operator = await admit(idle, Principal("default", EVERYTHING))
    given = {"taskId": task_id, "url": "http://127.0.0.1:9", "id": "ours", "token": "secret"}
    assert (await result(idle, "CreateTaskPushNotificationConfig", given, key=operator))["token"] == "secret"
    ann = await admit(idle, Principal("default", EVERYTHING, subject="ann"))
    about = {"taskId": task_id, "id": "ours"}
    seen = await result(idle, "GetTaskPushNotificationConfig", about, key=ann)
    assert (seen["id"], "token" in seen) == ("ours", False)
    mine = {**message(), "configuration": {"taskPushNotificationConfig": {"url": "http://127.0.0.1:9"}}}
    for method, params in (
        ("CreateTaskPushNotificationConfig", {**given, "id": "mine"}),
        ("DeleteTaskPushNotificationConfig", about),
        ("SendMessage", mine),
    ):
        check_refused(await call(idle, method, params, key=ann), "/a2a", 403, "")
    assert (await result(idle, "GetTaskPushNotificationConfig", about, key=operator))["token"] == "secret"


async def test_configs_need_the_scope_control(idle: LiveServer) -> None:
    task_id = await waiting(idle)
    narrow = await admit(idle, Principal("default", frozenset({AccessScope.READ, AccessScope.SUBMIT})))
    given = {"taskId": task_id, "url": "http://127.0.0.1:9"}
    for method in ("CreateTaskPushNotificationConfig", "DeleteTaskPushNotificationConfig"):
        assert "control" in check_refused(await call(idle, method, given, key=narrow), "/a2a", 403, "")
    assert (await refusal(idle, "GetTaskPushNotificationConfig", {"taskId": "nothing"}, key=narrow))[0] == NOT_FOUND


async def test_the_secret_of_the_key_that_set_a_config_signs(server: LiveServer, control: GraphControl) -> None:
    """With the message, and later."""
    control.hold("first")
    secret = "whsec_" + "b3RoZXIg" * 4
    made = await server.client.post(
        "/keys", json={"name": "signs", "scopes": ["read", "submit", "control"], "webhook_secret": secret}
    )
    assert made.status_code == 201, made.text
    signing = made.json()["key"]
    plain = (await issue(server)).text
    async with receiver() as first, receiver() as later, receiver() as other:
        pushed = {"taskPushNotificationConfig": {"url": first.url(), "id": "a"}, "returnImmediately": True}
        task = (await result(server, "SendMessage", {**message(), "configuration": pushed}, key=signing))["task"]
        for key, there, name in ((signing, later, "b"), (plain, other, "c")):
            given = {"taskId": task["id"], "url": there.url(), "id": name}
            await result(server, "CreateTaskPushNotificationConfig", given, key=key)
        control.release("first")
        await until(lambda: first.requests and later.requests and other.requests, "all are told")
        for there, text in ((first, secret), (later, secret), (other, HOOKS["webhook_secret"])):
            _check_signature(there.requests[0], text)


def _check_signature(request: Received, secret: str) -> None:
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    expected = signed(request.headers["webhook-id"], at, request.body, signing_keys(secret))
    assert request.headers["webhook-signature"] == expected["webhook-signature"]


async def test_changes_of_configs_are_in_the_audit_log(idle: LiveServer) -> None:
    task_id = await waiting(idle)
    given = {"taskId": task_id, "url": "http://127.0.0.1:9", "id": "mine"}
    await result(idle, "CreateTaskPushNotificationConfig", given)
    await result(idle, "DeleteTaskPushNotificationConfig", {"taskId": task_id, "id": "mine"})
    kept = (await idle.client.get("/audit", params={"action": "message.change"})).json()["records"]
    assert sorted(json.dumps(each["details"]) for each in kept) == [
        '{"receiver": "mine"}',
        '{"removed_receiver": "mine"}',
    ]
    assert {tuple(each["targets"]) for each in kept} == {(task_id,)}


async def test_what_is_wrong_beside_a_config_is_not_said_of_its_address(serve: Serve) -> None:
    server = await serve(**{**HOOKS, "agents": "state=tests.graphs:any_state"})
    await server.runtime.services.registry.loaded.wait()
    async with receiver() as there:
        sent = message({"data": {"odd": 1}})
        sent["configuration"]["taskPushNotificationConfig"] = {"url": there.url()}
        code, told = await refusal(server, "SendMessage", sent, agent="state")
    assert (code, told.startswith("input")) == (PARAMS, True), told


async def test_an_answer_that_its_caller_may_not_give_adds_no_receiver(serve: Serve, control: GraphControl) -> None:
    server = await serve(**HOOKS)
    full, submits = await issue(server), await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    every, key = bearer(full)["Authorization"], bearer(submits)["Authorization"]
    asks = {"message": message()["message"]}
    task = (await result(server, "SendMessage", asks, agent="approving", Authorization=every))["task"]["id"]
    answer = message(taskId=task)
    answer["configuration"]["taskPushNotificationConfig"] = {"url": "http://127.0.0.1:9/"}
    assert (await call(server, "SendMessage", answer, agent="approving", Authorization=key)).status == 403
    listed = await result(
        server, "ListTaskPushNotificationConfigs", {"taskId": task}, agent="approving", Authorization=every
    )
    assert not listed.get("configs")
