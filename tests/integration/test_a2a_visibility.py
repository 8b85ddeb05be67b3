"""A2A's clients see nothing of others: each method and each field that takes an id, for each kind of stranger."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.protocols.a2a import SURFACE
from app.protocols.a2a.dialects import REQUESTS
from app.protocols.a2a.methods import METHODS
from app.protocols.a2a.routing import CARD_PATH
from tests.a2a_clients import refusal, result
from tests.callers import admit
from tests.contract.builders import interrupt
from tests.foreign_ids import MISSING, Asked, ask, routes_of, walk
from tests.integration.conftest import Serve
from tests.integration.test_a2a_requests import NOT_FOUND, message
from tests.servers import LiveServer
from tests.strangers import STRANGERS

ANN = Principal("default", frozenset(AccessScope), subject="ann")
AGENTS = "chat=tests.graphs:steps,coder=tests.graphs:steps"
URL = "http://127.0.0.1:9"

NO_IDS = {"tenant", "page_token"}
"""Text fields that have no id of a thing of others."""

FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "SendMessage": {
        "message.task_id": message(taskId="{task}"),
        "message.reference_task_ids": message(contextId="{context}", referenceTaskIds=["{task}"]),
    },
    "SendStreamingMessage": {"message.task_id": message(taskId="{task}")},
    "GetTask": {"id": {"id": "{task}"}},
    "ListTasks": {"context_id": {"contextId": "{context}"}},
    "CancelTask": {"id": {"id": "{task}"}},
    "SubscribeToTask": {"id": {"id": "{task}"}},
    "CreateTaskPushNotificationConfig": {"task_id": {"taskId": "{task}", "url": URL}},
    "GetTaskPushNotificationConfig": {
        "task_id": {"taskId": "{task}"},
        "id": {"taskId": "{task}", "id": "{config}"},
    },
    "ListTaskPushNotificationConfigs": {"task_id": {"taskId": "{task}"}},
    "DeleteTaskPushNotificationConfig": {
        "task_id": {"taskId": "{task}"},
        "id": {"taskId": "{task}", "id": "{config}"},
    },
    "GetExtendedAgentCard": {},
}
"""By method and field with an id: the parameters that name a thing of Ann."""

ELSEWHERE = {
    "CreateTaskPushNotificationConfig.id": "the id of a new config, of a task that is looked up first",
    "CreateTaskPushNotificationConfig.token": "no id",
    "CreateTaskPushNotificationConfig.url": "no id",
}


@pytest.fixture
async def server(serve: Serve) -> LiveServer:
    secret = "whsec_" + "c2VjcmV0" * 4
    return await serve(worker_concurrency=0, agents=AGENTS, webhook_secret=secret, webhook_allow_private=True)


async def of_ann(server: LiveServer) -> dict[str, str]:
    """A task of Ann that asks, with a config."""
    store = server.runtime.services.store
    task = await interrupt(store, thread="ann/t", subject="ann", agent="chat")
    operator = await admit(server, Principal("default", frozenset(AccessScope)))
    given = {"taskId": task.id, "id": "config", "url": URL}
    await result(server, "CreateTaskPushNotificationConfig", given, agent="chat", key=operator)
    return {"task": task.id, "context": "ann/t", "config": "config"}


def test_each_field_with_an_id_has_a_row() -> None:
    assert FIELDS.keys() == METHODS.keys() == REQUESTS.keys()
    for method, request in REQUESTS.items():
        texts = {
            field.name
            for field in request.DESCRIPTOR.fields
            if field.type == FieldDescriptor.TYPE_STRING and field.name not in NO_IDS
        }
        elsewhere = {name.partition(".")[2] for name in ELSEWHERE if name.partition(".")[0] == method}
        assert texts - elsewhere == {name for name in FIELDS[method] if "." not in name}, method


def requests(ids: dict[str, str], who: str) -> Iterator[Asked]:
    missing = {"task": MISSING.format(1), "context": MISSING.format(2), "config": MISSING.format(3)}
    agent = "coder" if STRANGERS[who].agents else "chat"
    for method, rows in FIELDS.items():
        for params in rows.values():
            if STRANGERS[who].threads is not None and "contextId" in str(params) and method != "ListTasks":
                continue  # refused for the context, before the task is looked up
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            yield Asked("POST", f"/{agent}", ids, missing, body, finds_nothing=method == "ListTasks")


async def test_things_of_others_are_like_missing_ones(server: LiveServer) -> None:
    ids = await of_ann(server)
    await walk(server, SURFACE, lambda who: requests(ids, who), 5 * 10)


async def test_each_path_that_names_an_agent_is_like_a_missing_one(server: LiveServer) -> None:
    caller = await admit(server, STRANGERS["other agents"])
    walked = set()
    for method, path in routes_of(SURFACE):
        if "{agent}" in path:
            hidden, missing = [
                await ask(server, SURFACE, caller, method, path, {}, agent=name) for name in ("chat", "nothing")
            ]
            assert hidden == missing
            assert hidden[0] == 404
            walked.add(path)
    assert walked == {"/{agent}", "/{agent}" + CARD_PATH}


async def test_the_owner_has_what_strangers_do_not_have(server: LiveServer) -> None:
    """Else the walk would look for things that nobody can see."""
    ids = await of_ann(server)
    ann = await admit(server, ANN)
    for method, params in (
        ("GetTask", {"id": ids["task"]}),
        ("GetTaskPushNotificationConfig", {"taskId": ids["task"], "id": ids["config"]}),
    ):
        assert (await result(server, method, params, agent="chat", key=ann))["id"] in ids.values()
        assert (await refusal(server, method, params, agent="coder", key=ann))[0] == NOT_FOUND, "another agent's path"
    listed = await result(server, "ListTasks", {"contextId": ids["context"]}, agent="chat", key=ann)
    assert [each["id"] for each in listed["tasks"]] == [ids["task"]]
