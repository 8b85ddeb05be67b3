"""Odd requests to surfaces whose calls and replies are messages of JSON-RPC 2.0."""

from typing import Any

import httpx2
import requests
from fastapi import FastAPI
from typing_extensions import override

from tests.fuzzing import Known
from tests.fuzzing_chats import AGENT, HELLO, OpenAiApi
from tests.mcp_clients import events_of


class JsonRpcApi(OpenAiApi):
    """A surface of JSON-RPC. `_messages` are the ids of the messages that are there, `_asked` counts the requests."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self._messages: list[str] = []
        self._asked = 0

    @override
    def fill(self, client: httpx2.Client) -> Known:
        """Make a message that has ended, and one with a question."""
        self._messages = []
        for agent in (AGENT, "approving"):
            response = client.post("/messages", json={"message": HELLO, "agent": agent}, headers={"Prefer": "wait=20"})
            assert response.status_code == 200, response.text
            self._messages.append(response.json()["message_id"])
        return {"message_id": self._messages}

    @override
    def check_error(self, response: requests.Response, told: str) -> None:
        assert response.headers["content-type"] == "application/json", told
        body = response.json()
        assert body.keys() == {"jsonrpc", "id", "error"}, told
        assert body["error"]["message"], told
        assert response.status_code < 500, told


def answer_in(response: requests.Response) -> Any:
    """Return the answer to a call: the only message of a reply, or the last one of a stream."""
    is_stream = response.headers["content-type"].startswith("text/event-stream")
    return events_of(response.content.decode())[-1].message if is_stream else response.json()
