"""Odd requests to the API for clients of A2A, from a description for tests alone."""

from collections.abc import Mapping
from typing import Any, Literal

import httpx2
import requests
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from schemathesis import Case
from typing_extensions import override

from app.protocols.a2a.routing import PREFIX
from tests.a2a_clients import VERSION
from tests.fuzzing import Caller, Known
from tests.fuzzing_chats import AGENT, FAULTS, HELLO
from tests.fuzzing_rpc import JsonRpcApi, answer_in

INTERNAL, NOT_FOUND = -32603, -32001


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)

    text: str | None = None
    data: JsonValue = None
    url: str | None = None


class Message(BaseModel):
    """A message of a client."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)

    message_id: str
    role: Literal["ROLE_USER", "ROLE_AGENT"]
    parts: list[Part]
    context_id: str | None = None
    task_id: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class Params(BaseModel):
    """The parameters of any method."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)

    message: Message | None = None
    id: str | None = None
    task_id: str | None = None
    url: str | None = None
    token: str | None = None
    context_id: str | None = None
    status: str | None = None
    page_size: int | None = None
    page_token: str | None = None
    history_length: int | None = None


class Call(BaseModel):
    """A call of a method."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal[
        "SendMessage",
        "SendStreamingMessage",
        "GetTask",
        "ListTasks",
        "CancelTask",
        "SubscribeToTask",
        "CreateTaskPushNotificationConfig",
        "GetTaskPushNotificationConfig",
        "ListTaskPushNotificationConfigs",
        "DeleteTaskPushNotificationConfig",
    ]
    params: Params


class A2aApi(JsonRpcApi):
    """The surface for clients of A2A. Errors of methods come with the status 200."""

    prefix = PREFIX
    bodies: Mapping[str, type[BaseModel]] = {"POST /{agent}": Call}

    @override
    def fill(self, client: httpx2.Client) -> Known:
        """Make a task that has ended, and one that asks."""
        self._asked = 0
        return {"agent": [AGENT, "approving"], **super().fill(client)}

    @override
    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        case.headers.update(VERSION)
        case.headers.pop("X-AgentQ-Priority", None)  # a wrong one would be all that is looked at
        return super().ask(url, case, caller, known)

    @override
    def adjusted(self, body: Any) -> Any:
        """A body that waits for no run, of which half call a method as it should be, of a task that is there."""
        turn, is_odd = divmod(self._asked, 2)
        self._asked += 1
        if not isinstance(body, dict):
            return body
        params = body.get("params")
        given = {**params} if isinstance(params, dict) else {}
        given["configuration"] = {"returnImmediately": True}
        task = {"id": self._messages[turn % len(self._messages)]}
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": HELLO}]}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("GetTask", task),
            ("SendMessage", {"message": message, "configuration": given["configuration"]}),
            ("ListTasks", {}),
            ("SendStreamingMessage", {"message": message}),
            ("SubscribeToTask", task),
            ("SendMessage", {**given, "message": {**message, "taskId": task["id"]}}),
            ("CancelTask", task),
        ]
        if not is_odd:
            method, given = calls[turn % len(calls)]
            return {**body, "method": method, "params": given}
        return {**body, "params": given} if isinstance(params, dict) else body

    @override
    def status_of(self, response: requests.Response, caller: Caller) -> int:
        """The status that a native reply to the call has. Agents are everybody's, and a stranger's list is empty."""
        if response.status_code != 200 or not response.content:
            return response.status_code
        if "jsonrpc" not in response.text:
            return 404 if caller.is_foreign else 200  # a card
        answer = answer_in(response)
        if (error := answer.get("error")) is None:
            return 404 if caller.is_foreign and not any(task in response.text for task in self._messages) else 200
        assert error["code"] != INTERNAL, answer
        assert not any(str(each.get("reason", "")).lower() in FAULTS for each in error.get("data", [])), answer
        return 404 if error["code"] == NOT_FOUND else 400
