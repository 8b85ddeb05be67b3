"""The SDK's client of A2A, for tests of its surface, and calls of the protocol by hand."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
from a2a.client import Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict

from app.protocols.a2a.calls import CURSOR
from tests import wire
from tests.servers import DEADLINE_SECONDS, LiveServer

VERSION = {"A2A-Version": "1.0"}


@contextlib.asynccontextmanager
async def sdk(
    server: LiveServer | str,
    agent: str = "steps",
    headers: Mapping[str, str] | None = None,
    *,
    streaming: bool = True,
    through: str | None = None,
) -> AsyncIterator[Client]:
    """The SDK's client of an agent, by the card of the agent. It calls the agent `through` another address."""
    url = server if isinstance(server, str) else server.url
    given = {**VERSION, **(headers or {})}
    async with httpx.AsyncClient(headers=given, timeout=DEADLINE_SECONDS, trust_env=False) as http:
        card = await A2ACardResolver(http, f"{url}/a2a/{agent}").get_agent_card()
        for interface in card.supported_interfaces:
            interface.url = interface.url.replace(url, through or url)
        async with ClientFactory(ClientConfig(streaming=streaming, httpx_client=http)).create(card) as client:
            yield client


def said(text: str = "Hi", *, context: str = "", task: str = "", **fields: Any) -> pb.SendMessageRequest:
    """The request of a client that sends a text."""
    message = pb.Message(
        message_id=str(uuid4()), role=pb.Role.ROLE_USER, parts=[pb.Part(text=text)], context_id=context, task_id=task
    )
    return pb.SendMessageRequest(message=message, **fields)


def with_headers(**headers: str) -> ClientCallContext:
    """The context of a call with further headers. `_` stands for `-`."""
    return ClientCallContext(service_parameters={name.replace("_", "-"): value for name, value in headers.items()})


def with_cursors(last_event_id: str | None = None) -> ClientCallContext:
    """The context of a call that asks for cursors, and goes on behind one."""
    seen = {} if last_event_id is None else {"Last_Event_ID": last_event_id}
    return with_headers(**{"A2A_Extensions": CURSOR, **VERSION}, **seen)


async def call(
    server: LiveServer,
    method: str,
    params: Any = None,
    *,
    agent: str = "steps",
    key: str = "",
    id: Any = 1,
    **headers: str,
) -> wire.RawResponse:
    """The reply to a call of a method."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"Content-Type": "application/json", **named} | ({"X-API-Key": key} if key else {})
    body = {"jsonrpc": "2.0", "id": id, "method": method, "params": {} if params is None else params}
    return await wire.request(server.url, "POST", f"/a2a/{agent}", headers=given, body=json.dumps(body).encode())


async def result(server: LiveServer, method: str, params: Any = None, **options: Any) -> Any:
    """The result of a method."""
    response = await call(server, method, params, **options)
    assert response.status == 200, response
    body = response.json()
    assert body.keys() == {"jsonrpc", "id", "result"}, body
    return body["result"]


async def refusal(server: LiveServer, method: str, params: Any = None, **options: Any) -> tuple[int, str]:
    """The code and the text of an error that a method answers."""
    response = await call(server, method, params, **options)
    assert response.status == 200, response
    body = response.json()
    assert body.keys() == {"jsonrpc", "id", "error"}, body
    return body["error"]["code"], body["error"]["message"]


class ReadTask:
    """A task as a client has it that reads a stream by the protocol's rules."""

    def __init__(self, task_id: str = "") -> None:
        """`task_id` is the task of which the client knew before."""
        self.states: list[str] = []
        self.texts: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        self.notes: list[dict[str, Any]] = []
        self.cursors: list[str] = []
        self.task_id = task_id
        self.context_id = ""
        self.said = ""
        self.pieces: list[str] = []
        self.closed: set[str] = set()

    def take(self, item: pb.StreamResponse) -> "ReadTask":
        """Take an item, strictly: no item of another task, and no piece of an artifact that has ended."""
        match item.WhichOneof("payload"):
            case "task":
                self.task_id, self.context_id = item.task.id, item.task.context_id
                self._state(item.task.status)
                self.texts = {}
                for each in item.task.artifacts:
                    self._artifact(each, append=False)
                about = item.task.metadata
            case "status_update":
                assert item.status_update.task_id == self.task_id
                self._state(item.status_update.status)
                about = item.status_update.metadata
                if "agentq" in MessageToDict(about):
                    self.notes.append(MessageToDict(about)["agentq"])
            case "artifact_update":
                update = item.artifact_update
                assert update.task_id == self.task_id
                assert update.artifact.artifact_id not in self.closed
                self._artifact(update.artifact, append=update.append)
                self.pieces.append("".join(part.text for part in update.artifact.parts))
                if update.last_chunk:
                    self.closed.add(update.artifact.artifact_id)
                about = update.metadata
            case other:
                raise AssertionError(other)
        cursor = MessageToDict(about).get(CURSOR)
        if cursor is not None:
            self.cursors.append(cursor["cursor"])
        return self

    def _state(self, status: pb.TaskStatus) -> None:
        self.states.append(pb.TaskState.Name(status.state).removeprefix("TASK_STATE_"))
        if status.HasField("message"):
            self.said = "".join(part.text for part in status.message.parts)

    def _artifact(self, artifact: pb.Artifact, *, append: bool) -> None:
        name = artifact.artifact_id
        assert not append or name in self.texts, "a piece of an artifact that does not exist"
        text = "".join(part.text for part in artifact.parts)
        self.texts[name] = (self.texts.get(name, "") if append else "") + text
        for part in artifact.parts:
            if part.HasField("data"):
                self.data[name] = MessageToDict(part.data)


async def read(items: AsyncIterator[pb.StreamResponse], into: ReadTask | None = None) -> ReadTask:
    """Read a stream to its end."""
    task = into or ReadTask()
    async for item in items:
        task.take(item)
    return task
