"""Calls of A2A as a stranger sends them: odd values, contexts of others, cancels that meet, and access that ends."""

import asyncio
import json
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import UnsupportedOperationError

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.api.listing import cursor_of
from app.models.attempts import Completed
from app.protocols.a2a.methods import LISTED
from tests import wire
from tests.a2a_clients import ReadTask, call, read, refusal, result, said, sdk, with_cursors
from tests.callers import admit
from tests.contract.builders import claim_one
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_a2a_requests import INVALID, NOT_FOUND, PARAMS, configured, message
from tests.integration.test_keys import bearer, issue, manager
from tests.servers import LiveServer, until
from tests.surfaces import check_refused

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"
EVERYTHING = frozenset(AccessScope)
OF_ANOTHER_LIST, TOO_LARGE = cursor_of(1, "", "/messages"), cursor_of(2**63, "", LISTED)
UNSUPPORTED, NOT_CANCELABLE = -32004, -32002


@pytest.fixture
async def idle(serve: Serve) -> LiveServer:
    """A server without workers."""
    return await serve(worker_concurrency=0, agents=AGENTS)


async def sent(server: LiveServer, body: bytes, **headers: str) -> wire.RawResponse:
    given = {"Content-Type": "application/json", **headers}
    return await wire.request(server.url, "POST", "/a2a/steps", headers=given, body=body)


def written(data: str, id: str = "1") -> bytes:
    """A call that sends a part with this JSON as its data."""
    part = f'{{"messageId": "m", "role": "ROLE_USER", "parts": [{{"data": {data}}}]}}'
    return f'{{"jsonrpc": "2.0", "id": {id}, "method": "SendMessage", "params": {{"message": {part}}}}}'.encode()


async def queued(server: LiveServer) -> int:
    return int((await server.client.get("/queue")).json()["total_queued"])


@pytest.mark.parametrize("data", ["9" * 400, "-" + "9" * 400, "1e400", "[" * 60 + "]" * 60], ids=range(4))
async def test_data_that_the_protocol_cannot_carry_is_refused(idle: LiveServer, data: str) -> None:
    response = await sent(idle, written(data))
    assert response.status == 200, response
    assert (response.json()["error"]["code"], response.json()["id"]) == (PARAMS, 1), response
    in_metadata = message(metadata={"a": json.loads(data)}) if data != "1e400" else message(contextId=data * 200)
    assert (await refusal(idle, "SendMessage", in_metadata))[0] == PARAMS
    assert await queued(idle) == 0


@pytest.mark.parametrize(
    ("id", "told"),
    [
        ("9" * 300, None),
        ('"' + "x" * 256 + '"', None),
        ("1.5", None),
        ("true", None),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
    ids=range(5),
)
async def test_the_id_of_a_call_has_a_limit_and_comes_back(idle: LiveServer, id: str, told: str | None) -> None:
    body = (await sent(idle, written('"a\\u0000"', id))).json()
    assert (body["error"]["code"], body["id"]) == (INVALID if told is None else PARAMS, told)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("GetTask", {"id": "x"}),
        ("ListTasks", {}),
        ("CancelTask", {"id": "x"}),
        ("SendMessage", message()),
        ("SubscribeToTask", {"id": "x"}),
        ("GetExtendedAgentCard", {}),
        ("GetTaskPushNotificationConfig", {"taskId": "x"}),
    ],
)
async def test_no_method_takes_another_tenant(idle: LiveServer, method: str, params: dict[str, Any]) -> None:
    refused = await refusal(idle, method, {**params, "tenant": "other"})
    assert refused == (PARAMS, "tenant: the tenant is that of the credential. Leave the field out")
    assert await queued(idle) == 0


@pytest.mark.parametrize("status", ["TASK_STATE_ODD", "completed", 99])
async def test_a_state_that_does_not_exist_is_no_filter(idle: LiveServer, status: Any) -> None:
    """It would list all tasks, since the SDK leaves it out."""
    code, told = await refusal(idle, "ListTasks", {"status": status})
    assert (code, told.startswith("status: expected one of TASK_STATE_UNSPECIFIED, ")) == (PARAMS, True)
    await result(idle, "ListTasks", {"status": "TASK_STATE_UNSPECIFIED"})
    await result(idle, "ListTasks", {"status": 2})


@pytest.mark.parametrize("token", ["1", "-1", "1.0", "1" * 20, "٣", OF_ANOTHER_LIST, TOO_LARGE])
async def test_a_page_token_is_one_that_was_given(idle: LiveServer, token: str) -> None:
    assert (await refusal(idle, "ListTasks", {"pageToken": token}))[0] == PARAMS


async def test_an_id_that_is_too_long_is_not_repeated(idle: LiveServer) -> None:
    code, told = await refusal(idle, "GetTask", {"id": "x" * 100_000})
    assert (code, len(told) < 400) == (NOT_FOUND, True)


async def test_bodies_of_other_types_and_sizes_are_refused(idle: LiveServer) -> None:
    check_refused(await sent(idle, b"{}", **{"Content-Type": "text/plain"}), "/a2a", 415, "")
    check_refused(await sent(idle, written(json.dumps("x" * 2_000_000))), "/a2a", 413, "")
    many = await sent(idle, written(json.dumps([0] * 100_001)))
    assert many.status == 400, many


async def test_limits_of_parts_references_and_lengths(idle: LiveServer) -> None:
    other = (await result(idle, "SendMessage", message(contextId="other")))["task"]["id"]
    for params, told in (
        (message(contextId="t", referenceTaskIds=["x"] * 101), "message.referenceTaskIds: expected at most 100 tasks"),
        (message(contextId="t", referenceTaskIds=[other]), "message.referenceTaskIds: an agent remembers the tasks"),
        (message({"raw": "***", "mediaType": "image/png"}), "message.parts.0.raw: expected data in base64"),
        (message({"url": "data:text/plain,hi"}), "message.parts.0.url: expected http"),
        (message({"raw": "aGk=", "mediaType": "a/b\r\nX: y"}), "message.parts.0.mediaType: expected a media type"),
        (message({"text": "x", "data": 1}), "message.parts.0: give one of text and data"),
        (message(metadata={"a": "x" * 20_000}), "metadata: expected at most 16384 bytes"),
        (configured(historyLength=2**40), "configuration.historyLength: expected a whole number from -2147483648"),
    ):
        code, text = await refusal(idle, "SendMessage", params)
        assert (code, text.startswith(told)) == (PARAMS, True), text
    assert await queued(idle) == 1
    mine = await result(idle, "SendMessage", message(contextId="other", referenceTaskIds=[other]))
    assert mine["task"]["contextId"] == "other"


async def test_a_context_of_another_end_user_is_refused_and_one_of_another_tenant_is_another(idle: LiveServer) -> None:
    ann, bob = [await admit(idle, Principal("default", EVERYTHING, subject=name)) for name in ("ann", "bob")]
    stranger = await admit(idle, Principal("other", EVERYTHING))
    first = (await result(idle, "SendMessage", message(contextId="t"), key=ann))["task"]
    for method in ("SendMessage", "SendStreamingMessage"):
        code, told = await refusal(idle, method, message(contextId="t"), key=bob)
        assert (code, told) == (UNSUPPORTED, "There is no thread with the id 't'.")
    own = (await result(idle, "SendMessage", message(contextId="t"), key=stranger))["task"]
    assert (own["contextId"], own["id"] != first["id"]) == ("t", True)
    for key, name in ((ann, first["id"]), (stranger, own["id"])):
        listed = (await result(idle, "ListTasks", {"contextId": "t"}, key=key))["tasks"]
        assert [each["id"] for each in listed] == [name]


async def test_questions_are_answered_once_and_in_their_context(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    task = (await result(server, "SendMessage", _held(message()), agent="approving"))["task"]
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    elsewhere = message(taskId=task["id"], contextId="another")
    code, told = await refusal(server, "SendMessage", elsewhere, agent="approving")
    assert (code, told.startswith("message.contextId: ")) == (PARAMS, True)
    for parts, begin in (
        ([{"url": "https://a.example"}], "message.parts: an answer is one part"),
        ([{"text": "a"}, {"data": 1}], "message.parts: an answer is one part"),
        ([], "message.parts: an answer is one part"),
    ):
        wrong = {"message": {**message(taskId=task["id"])["message"], "parts": parts}}
        code, told = await refusal(server, "SendMessage", wrong, agent="approving")
        assert (code, told.startswith(begin)) == (PARAMS, True), told
    submits = await admit(server, Principal("default", frozenset({AccessScope.READ, AccessScope.SUBMIT})))
    narrow = await call(server, "SendMessage", message(taskId=task["id"]), agent="approving", key=submits)
    assert "control" in check_refused(narrow, "/a2a", 403, "")
    answers = [call(server, "SendMessage", message(taskId=task["id"]), agent="approving") for _ in range(5)]
    replies = [reply.json() for reply in await asyncio.gather(*answers)]
    assert len([reply for reply in replies if "result" in reply]) == 1, replies
    assert {reply["error"]["code"] for reply in replies if "error" in reply} == {UNSUPPORTED}


def _held(params: dict[str, Any]) -> dict[str, Any]:
    """The same without `returnImmediately`."""
    return {"message": params["message"]}


async def test_cancels_that_meet_the_end_are_one_or_the_other(serve: Serve, control: GraphControl) -> None:
    """Each task is cancelled twice while it ends. A cancel that was acknowledged is the end that everybody sees."""
    server = await serve(agents=AGENTS, worker_concurrency=8)
    ids = [(await result(server, "SendMessage", message({"text": str(n)})))["task"]["id"] for n in range(12)]
    watching = [call(server, "SubscribeToTask", {"id": name}) for name in ids]
    cancelling = [call(server, "CancelTask", {"id": name}) for name in ids * 2]
    async with asyncio.timeout(wire.DEADLINE_SECONDS):
        replies = await asyncio.gather(*watching, *cancelling)
    cancels = [reply.json() for reply in replies[len(ids) :]]
    for number, name in enumerate(ids):
        state = (await result(server, "GetTask", {"id": name}))["status"]["state"]
        assert state in ("TASK_STATE_CANCELED", "TASK_STATE_COMPLETED")
        for reply in (cancels[number], cancels[number + len(ids)]):
            if "result" in reply:
                assert reply["result"]["status"]["state"] == state
            else:
                assert reply["error"]["code"] == NOT_CANCELABLE
        body = replies[number].body.decode()
        if body.startswith("{"):
            assert json.loads(body)["error"]["code"] == UNSUPPORTED
        else:
            last = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")][-1]["result"]
            (told,) = last.values()
            assert told["status"]["state"] == state


async def test_a_cancel_counts_also_if_its_caller_may_not_wait(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_streams_per_tenant=1)
    control.hold("first")
    task_id = (await result(server, "SendMessage", message()))["task"]["id"]
    await until(lambda: control.waits("first"), "the agent runs")
    async with server.client.stream("GET", f"/messages/{task_id}/stream"):
        at_once = await result(server, "CancelTask", {"id": task_id})
        assert at_once["status"]["state"] == "TASK_STATE_WORKING"
    assert (await server.ended(task_id))["state"] == "cancelled"


async def test_the_card_tells_whether_there_are_push_notifications(serve: Serve) -> None:
    for secret in (None, "whsec_" + "c2VjcmV0" * 4):
        server = await serve(worker_concurrency=0, agents=AGENTS, webhook_secret=secret)
        card = await wire.request(server.url, "GET", "/a2a/steps/.well-known/agent-card.json")
        assert card.json()["capabilities"].get("pushNotifications", False) is (secret is not None)


async def test_a_client_whose_key_is_revoked_is_told_so(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    key, _ = await issue(server), await issue(server)
    authorized = {"Authorization": bearer(key)["Authorization"]}
    reading = asyncio.create_task(call(server, "SendStreamingMessage", message(), **authorized))
    await until(lambda: server.runtime.streams.open_by_kind()["stream"] == 1, "it reads")
    await manager(server).revoke(None, key.key.id)
    body = (await reading).body.decode()
    last = json.loads(body.rstrip().splitlines()[-1].removeprefix("data: "))
    assert "Your access ended" in last["error"]["message"]
    assert last["id"] == 1


async def test_a_caller_without_the_default_agent_gets_the_card_of_another(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    path = "/.well-known/agent-card.json"
    for agents, status, name in ((frozenset({"approving"}), 200, "approving"), (frozenset[str](), 404, None)):
        key = await admit(server, Principal("default", EVERYTHING, agents=agents))
        response = await wire.request(server.url, "GET", path, headers={"X-API-Key": key})
        assert (response.status, response.json().get("name")) == (status, name)
        hidden = await wire.request(server.url, "GET", f"/a2a/steps{path}", headers={"X-API-Key": key})
        check_refused(hidden, "/a2a", 404, "")


async def test_a_task_whose_log_is_gone_is_still_shown(idle: LiveServer) -> None:
    """Its end comes from its row. A client that has not seen events that are gone is told so."""
    store = idle.runtime.services.store
    task_id = (await result(idle, "SendMessage", message()))["task"]["id"]
    await store.finish(await claim_one(store, agents=["steps"]), Completed("Told."))

    async def pruned() -> bool:
        return (await store.prune_logs(older_than_seconds=0, limit=10))[0] > 0

    await until(pruned, "its log is gone")
    found = await result(idle, "GetTask", {"id": task_id})
    assert found["artifacts"][0]["parts"][0]["text"] == "Told."
    last = (await store.read("default", task_id, after=0, limit=1)).last
    async with sdk(idle) as client:
        request = pb.SubscribeToTaskRequest(id=task_id)
        with pytest.raises(UnsupportedOperationError, match="no longer kept"):
            await read(client.subscribe(request, context=with_cursors("0")))
        for cursor in ("1", str(last)):
            task = await read(client.subscribe(request, context=with_cursors(cursor)), ReadTask(task_id))
            assert (task.states[-1:], task.texts.get("answer")) == (["COMPLETED"], "Told."), cursor


async def test_a_full_queue_is_an_error_of_the_server(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS, max_queue_size=1)
    await result(server, "SendMessage", message())
    response = await call(server, "SendMessage", message())
    assert "queue" in check_refused(response, "/a2a", 503, "")
    assert (response.json()["error"]["code"], response.json()["error"]["data"]["code"]) == (-32603, "queue_full")


async def test_a_list_shows_tasks_of_the_agent_alone(idle: LiveServer) -> None:
    await result(idle, "SendMessage", message(), agent="approving")
    mine = (await result(idle, "SendMessage", message()))["task"]["id"]
    assert [each["id"] for each in (await result(idle, "ListTasks"))["tasks"]] == [mine]
    assert (await result(idle, "ListTasks"))["totalSize"] == 1


async def test_a_list_shows_tasks_as_they_are_read_alone(serve: Serve, control: GraphControl) -> None:
    """The lists of the queue have no ids of clients' messages."""
    server = await serve(agents=AGENTS)
    async with sdk(server, "approving", streaming=False) as client:
        asked = await read(client.send_message(said("Go")))
        alone = await client.get_task(pb.GetTaskRequest(id=asked.task_id))
        (listed,) = (await client.list_tasks(pb.ListTasksRequest(history_length=5, include_artifacts=True))).tasks
        assert listed == alone
        (short,) = (await client.list_tasks(pb.ListTasksRequest())).tasks
        assert (short.status, list(short.history)) == (alone.status, [])
        assert alone.status.message.parts
        await result(server, "CancelTask", {"id": asked.task_id}, agent="approving")
        await read(client.send_message(said("Again")))
        found = (await client.list_tasks(pb.ListTasksRequest(include_artifacts=True))).tasks
        for each in found:
            whole = await client.get_task(pb.GetTaskRequest(id=each.id, history_length=0))
            assert each == whole
    assert len(found) == 2


async def test_the_history_has_data_as_it_was_sent(serve: Serve) -> None:
    server = await serve(agents="state=tests.graphs:any_state")
    await server.runtime.services.registry.loaded.wait()
    given = {"question": "Why?", "steps": ["one"]}
    task = (await result(server, "SendMessage", message({"data": given}), agent="state"))["task"]
    assert [each["data"] for each in task["history"][0]["parts"]] == [given]


@pytest.mark.parametrize("chosen", [{"status": 4}, {"status": "TASK_STATE_REJECTED"}, {"contextId": "nothing"}, {}])
async def test_a_list_without_tasks_has_its_required_fields(idle: LiveServer, chosen: dict[str, Any]) -> None:
    listed = await result(idle, "ListTasks", chosen)
    assert listed == {"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0}


async def test_several_texts_are_one_answer_and_data_names_its_question(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server, "approving", streaming=False) as client:
        asked = await read(client.send_message(said("Go")))
        several = said("yes", task=asked.task_id)
        several.message.parts.append(pb.Part(text="please"))
        assert (await read(client.send_message(several))).states == ["COMPLETED"]
        stored = (await server.client.get(f"/messages/{asked.task_id}/events")).json()["events"]
        (resumed,) = [each for each in stored if each["type"] == "resumed"]
        assert "yes\\nplease" in json.dumps(resumed)
