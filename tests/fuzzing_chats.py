"""Odd requests to the APIs for OpenAI's clients and for chat pages, from descriptions for tests alone."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx2
import requests
import schemathesis
from fastapi import FastAPI
from pydantic import BaseModel
from schemathesis import Case
from schemathesis.schemas import BaseSchema

from app.protocols.agui.routing import PREFIX as AG_UI
from app.protocols.agui.schemas import AgentRun
from app.protocols.ai_sdk.routing import PREFIX as CHAT
from app.protocols.ai_sdk.schemas import ChatRequest
from app.protocols.openai.routing import PREFIX as OPENAI
from app.protocols.openai.schemas.chat import ChatCreate
from app.protocols.openai.schemas.responses import ConversationChange, ConversationCreate, ResponseCreate
from tests.fuzzing import MAX_SHOWN_BODY, SECONDS, Caller, Known
from tests.fuzzing_langgraph import description

AGENT = "steps"
"""The agent that half of the requests name."""

HELLO = "Hello"

BODIES: dict[str, type[BaseModel]] = {
    "POST /responses": ResponseCreate,
    "POST /chat/completions": ChatCreate,
    "POST /conversations": ConversationCreate,
    "POST /conversations/{conversation_id}": ConversationChange,
}
"""The bodies of OpenAI's operations. Others that can have a body take any object."""

FAULTS = frozenset({"internal_error", "store_error"})
"""The codes of errors that no request may cause."""


class OpenAiApi:
    """The surface for OpenAI's clients, whose errors are objects with four fields."""

    prefix = OPENAI
    bodies: Mapping[str, type[BaseModel]] = BODIES

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def schema(self, url: str) -> BaseSchema:
        return schemathesis.openapi.from_dict(description(self._app, self.prefix, self.bodies))

    def fill(self, client: httpx2.Client) -> Known:
        """Make a conversation with a response that has ended, and one with a question."""
        made = []
        talk = client.post(f"{OPENAI}/conversations", json={}).json()["id"]
        for agent in (AGENT, "approving"):
            body = {"model": agent, "input": HELLO, "conversation": talk}
            made.append(client.post(f"{OPENAI}/responses", json=body).json()["id"])
        return {"conversation_id": [talk], "response_id": made}

    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        case.body = self.adjusted(case.body)
        sent = case.as_transport_kwargs(base_url=url, headers=caller.headers)
        asked = str(sent)
        try:
            response = requests.request(**sent, timeout=SECONDS)
        except requests.RequestException as error:
            raise AssertionError(f"no reply to {asked[:MAX_SHOWN_BODY]}: {error}") from error
        told = f"{response.status_code} to {asked[:MAX_SHOWN_BODY]}: {response.text[:MAX_SHOWN_BODY]}"
        if response.status_code >= 400:
            self.check_error(response, told)
        elif caller.is_foreign:
            seen = [name for ids in known.values() for name in ids if name in response.text and name not in asked]
            assert not seen, f"ids of another tenant, {seen}: {told}"
        return self.status_of(response, caller)

    def adjusted(self, body: Any) -> Any:
        """A body that half of the time names an agent that exists, and of these half with a text."""
        named = body.get("model") if isinstance(body, dict) else None
        if not isinstance(named, str) or not len(named) % 2:
            return body
        said = {"input": HELLO, "messages": [{"role": "user", "content": HELLO}]} if len(named) % 4 == 1 else {}
        return {**body, "model": AGENT, **{name: value for name, value in said.items() if name in body}}

    def check_error(self, response: requests.Response, told: str) -> None:
        """Check the form of an error."""
        assert response.headers["content-type"] == "application/json", told
        error = response.json()["error"]
        assert error.keys() == {"message", "type", "code", "param"}, told
        assert error["message"], told
        assert error["code"] not in FAULTS, told

    def status_of(self, response: requests.Response, _: Caller) -> int:
        """The status of a reply, as strangers are told it."""
        return response.status_code


class ChatPagesApi(OpenAiApi):
    """The surface for chat pages, whose errors are one sentence."""

    prefix = CHAT
    bodies: Mapping[str, type[BaseModel]] = {"POST ": ChatRequest}

    def fill(self, client: httpx2.Client) -> Known:
        """Make a chat with a question, and one whose message has ended."""
        chats = [str(uuid4()) for _ in range(2)]
        for chat, agent in zip(chats, ("approving", AGENT), strict=True):
            message = {"id": "u", "role": "user", "parts": [{"type": "text", "text": HELLO}]}
            body = {"id": chat, "messages": [message], "agent": agent}
            assert client.post(CHAT, json=body).status_code == 200
        return {"thread_id": chats}

    def adjusted(self, body: Any) -> Any:
        """A body whose message stands in a list, and which half of the time names an agent that exists."""
        if not isinstance(body, dict):
            return body
        adjusted = dict(body)
        if isinstance(body.get("messages"), dict):
            adjusted["messages"] = [body["messages"]]
        if isinstance(body.get("agent"), str) and len(body["agent"]) % 2:
            adjusted["agent"] = AGENT
        return adjusted

    def check_error(self, response: requests.Response, told: str) -> None:
        assert response.headers["content-type"].startswith("text/plain"), told
        assert response.text.strip(), told
        assert response.status_code != 500, told

    def status_of(self, response: requests.Response, caller: Caller) -> int:
        """Chats of others are like chats that have nothing to show."""
        return 404 if response.status_code == 204 and caller.is_foreign else response.status_code


class AgUiApi(OpenAiApi):
    """The surface for clients of AG-UI, whose errors have the fields of `RUN_ERROR`."""

    prefix = AG_UI
    bodies: Mapping[str, type[BaseModel]] = {"POST /{agent}": AgentRun}

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self._threads: list[str] = []
        self._asked = 0

    def fill(self, client: httpx2.Client) -> Known:
        """Make a thread with a question, and one whose message has ended."""
        made = []
        self._asked = 0
        self._threads = [str(uuid4()) for _ in range(2)]
        for thread, agent in zip(self._threads, ("approving", AGENT), strict=True):
            message = {"id": "u", "role": "user", "content": HELLO}
            body = {"threadId": thread, "runId": "r", "messages": [message]}
            assert client.post(f"{AG_UI}/{agent}", json=body).status_code == 200
            (listed,) = client.get(f"/threads/{thread}/messages").json()["messages"]
            made.append(listed["message_id"])
        return {"thread_id": self._threads, "agent": [AGENT, "approving"], "message_id": made}

    def adjusted(self, body: Any) -> Any:
        """A body of which half have nothing that is refused in any form: new messages, or none for a known thread.

        Requests take turns, since what is drawn depends on the modules that are loaded.
        """
        turn = self._asked % 4
        self._asked += 1
        if not isinstance(body, dict) or not isinstance(body.get("runId"), str):
            return body
        page = {"tools": [{"name": "t", "description": "d"}], "context": [{"description": "d", "value": "v"}]}
        kept = {**body, **page, "forwardedProps": {}, "state": {}, "resume": []}
        match turn:
            case 0:
                return {**kept, "threadId": self._threads[-1], "messages": []}
            case 2:
                return {**kept, "messages": [{"id": "u", "role": "user", "content": HELLO}]}
        return body

    def check_error(self, response: requests.Response, told: str) -> None:
        assert response.headers["content-type"] == "application/json", told
        error = response.json()
        assert error.keys() == {"message", "code"}, told
        assert error["message"], told
        assert error["code"] not in FAULTS, told

    def status_of(self, response: requests.Response, caller: Caller) -> int:
        """Threads of others are like threads that have nothing to show."""
        return 404 if response.status_code < 300 and caller.is_foreign else response.status_code
