"""Odd requests to the API for clients of MCP, from a description for tests alone."""

from collections.abc import Mapping
from typing import Any, Literal

import requests
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from schemathesis import Case
from typing_extensions import override

from app.protocols.mcp.agent_tools import PREFIX as RUN
from app.protocols.mcp.agent_tools import RunArguments
from app.protocols.mcp.routing import PREFIX
from app.protocols.mcp.tools import (
    AnswerArguments,
    ListArguments,
    MessageArguments,
    SubmitArguments,
    WaitArguments,
)
from tests.fuzzing import Caller, Known
from tests.fuzzing_chats import AGENT, FAULTS
from tests.fuzzing_rpc import JsonRpcApi, answer_in
from tests.mcp_clients import JSON_OR_EVENTS

MOST_SECONDS = 0.05
"""How long a call waits at most for a message."""

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}

Arguments = SubmitArguments | WaitArguments | AnswerArguments | ListArguments | RunArguments | MessageArguments


class Call(BaseModel):
    """A call of a tool, or another request."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    arguments: Arguments | dict[str, JsonValue] = Field(default_factory=dict)


class Message(BaseModel):
    """A message of the protocol."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call", "tools/list", "ping", "initialize", "server/discover", "notifications/cancelled"]
    params: Call


class McpApi(JsonRpcApi):
    """The surface for clients of MCP. Errors of tools are told in results."""

    prefix = PREFIX
    bodies: Mapping[str, type[BaseModel]] = {"POST ": Message}

    @override
    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        case.headers.update(JSON_OR_EVENTS)
        return super().ask(url, case, caller, known)

    @override
    def adjusted(self, body: Any) -> Any:
        """A body that waits for no time, of which half call a tool that exists, and half of these as it should be."""
        self._asked += 1
        if not isinstance(body, dict):
            return body
        params = body.get("params")
        arguments = params.get("arguments") if isinstance(params, dict) else None
        given = {**arguments} if isinstance(arguments, dict) else {}
        for name in ("timeout_seconds", "wait_seconds"):
            if isinstance(given.get(name), int | float):
                given[name] = min(given[name], MOST_SECONDS)
        message_id = self._messages[self._asked % len(self._messages)]
        calls: dict[int, tuple[str, dict[str, Any]]] = {
            0: ("list_messages", {}),
            1: ("get_message", {"message_id": message_id}),
            2: ("submit_message", {**given, "message": "Hi"}),
            3: ("wait_for_message", {**given, "message_id": message_id, "timeout_seconds": MOST_SECONDS}),
            4: (f"{RUN}{AGENT}", given),
            5: ("answer_message", {**given, "message_id": message_id}),
            6: ("cancel_message", given),
            7: ("list_messages", given),
            8: ("get_message", {"message_id": "nobody's"}),
        }
        if (call := calls.get(self._asked % 16)) is not None:
            return {**HELLO, "params": {"name": call[0], "arguments": call[1]}}
        return {**body, "params": {**params, "arguments": given}} if isinstance(params, dict) else body

    @override
    def status_of(self, response: requests.Response, _: Caller) -> int:
        """The status that a native reply with the code of a tool's failure has."""
        if response.status_code != 200 or not response.content:
            return response.status_code
        message = answer_in(response)
        assert message["jsonrpc"] == "2.0", message
        if (error := message.get("error")) is not None:
            assert error["code"] != -32603, message
            return 400
        code = str(message["result"].get("_meta", {}).get("agentq/code", ""))
        assert code not in FAULTS, message
        if code == "insufficient_scope":
            return 403
        return 404 if code.endswith("_not_found") else 200
