"""Odd requests to the API for clients of Durable Streams, from a description for tests alone."""

from typing import Any
from uuid import uuid4

import httpx2
import requests
import schemathesis
from fastapi import FastAPI
from schemathesis import Case
from schemathesis.schemas import BaseSchema
from typing_extensions import override

from app.protocols.durable_streams.routing import PREFIX
from tests.durable_streams_readers import live_of
from tests.fuzzing import MAX_SHOWN_BODY, SECONDS, Caller, Known
from tests.fuzzing_chats import AGENT, FAULTS, HELLO, OpenAiApi
from tests.fuzzing_langgraph import description

WAIT_SECONDS = 0.3
"""How long a long poll may wait for events."""

TEXT = {"type": "string"}
PARAMETERS: list[dict[str, Any]] = [
    {"name": "offset", "in": "query", "schema": {"anyOf": [{"enum": ["-1", "now"]}, TEXT]}},
    {"name": "live", "in": "query", "schema": {"anyOf": [{"enum": ["long-poll", "sse"]}, TEXT]}},
    {"name": "cursor", "in": "query", "schema": TEXT},
    {"name": "If-None-Match", "in": "header", "schema": TEXT},
    {"name": "Last-Event-ID", "in": "header", "schema": TEXT},
]
"""The parameters that readers send. The endpoints take them from the request, since they take any others too."""


class StreamsApi(OpenAiApi):
    """The surface for readers of streams, whose errors are problems."""

    prefix = PREFIX

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self._offsets: list[str] = []
        self._asked = 0

    @override
    def schema(self, url: str) -> BaseSchema:
        made = description(self._app, self.prefix, {})
        for operations in made["paths"].values():
            for operation in operations.values():
                known = [each for each in operation.get("parameters", ()) if each["in"] == "path"]
                operation["parameters"] = [*known, *PARAMETERS]
        return schemathesis.openapi.from_dict(made)

    @override
    def fill(self, client: httpx2.Client) -> Known:
        """Make a thread with a message that has ended, and one whose message asks. Keep offsets of all streams."""
        self._offsets, self._asked = [], 0
        messages, threads = [], []
        for agent in (AGENT, "approving"):
            threads.append(f"a/{uuid4()}")
            submitted = {"message": HELLO, "agent": agent, "thread_id": threads[-1]}
            response = client.post("/messages", json=submitted, headers={"Prefer": "wait=20"})
            assert response.status_code == 200, response.text
            messages.append(str(response.json()["message_id"]))
        for path in (*(f"messages/{each}" for each in messages), *(f"threads/{each}" for each in threads)):
            self._offsets.append(client.get(f"{PREFIX}/{path}").headers["stream-next-offset"])
        return {"message_id": messages, "thread_id": threads}

    @override
    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        turn, is_odd = divmod(self._asked, 2)
        self._asked += 1
        if not is_odd:  # else as it was drawn
            lives: list[dict[str, Any]] = [{}, {"live": "sse"}, {"live": "long-poll"}]
            case.query = {"offset": ("-1", "now", *self._offsets)[turn % (2 + len(self._offsets))], **lives[turn % 3]}
        sent = case.as_transport_kwargs(base_url=url, headers=caller.headers)
        asked = str(sent)[:MAX_SHOWN_BODY]
        response, text = _read(sent)
        if response is None:
            assert (case.query or {}).get("live") == "long-poll", f"no reply to {asked}"
            return 204
        told = f"{response.status_code} to {asked}: {text[:MAX_SHOWN_BODY]}"
        if response.status_code >= 400:
            self.check_error(response, told)
        elif response.headers.get("content-type", "").startswith("text/event-stream"):
            live_of(text)
        if caller.is_foreign:
            seen = [name for ids in known.values() for name in ids if name in text and name not in asked]
            assert not seen, f"ids of another tenant, {seen}: {told}"
        return response.status_code

    @override
    def check_error(self, response: requests.Response, told: str) -> None:
        assert response.headers["content-type"] == "application/problem+json", told
        if response.request.method != "HEAD":
            problem = response.json()
            assert {"type", "title", "status", "code"} <= problem.keys(), told
            assert problem["code"] not in FAULTS, told
        assert response.status_code != 500, told


def _read(sent: dict[str, Any]) -> tuple[requests.Response | None, str]:
    """The response, None if it waits for events, and its text. A live stream is read until it has nothing new."""
    is_poll = (sent.get("params") or {}).get("live") == "long-poll"
    try:
        response = requests.request(**sent, timeout=(SECONDS, WAIT_SECONDS if is_poll else SECONDS), stream=True)
    except requests.ReadTimeout:
        return None, ""
    with response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            return response, response.text
        text = b""
        for piece in response.iter_content(None):
            text += piece
            if b'"upToDate":true' in text and text.endswith(b"\n\n"):
                break
    return response, text.decode()
