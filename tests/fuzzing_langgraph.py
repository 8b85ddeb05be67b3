"""Odd requests to the API for LangGraph's clients, from a description that is made for tests alone."""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from schemathesis import Case
from schemathesis.schemas import BaseSchema

from app.api.schemas.items import ItemDelete, ItemPut, ItemQuery, NamespaceQuery
from app.protocols.langgraph.routing import PREFIX
from app.protocols.langgraph.schemas.agent_protocol import EventStreamRequest, ThreadCommand
from app.protocols.langgraph.schemas.assistants import AssistantMatch, AssistantSearch
from app.protocols.langgraph.schemas.runs import RunCreate
from app.protocols.langgraph.schemas.threads import (
    HistoryRead,
    StateRead,
    StateUpdate,
    ThreadCreate,
    ThreadMatch,
    ThreadPatch,
    ThreadSearch,
)
from app.protocols.langgraph.stateless_runs import RunBatch, RunsCancel
from tests.fuzzing import END_SECONDS, MAX_SHOWN_BODY, SECONDS, Caller, Known

ASSISTANT = "steps"
"""The agent that half of the requests name."""

BODIES: dict[str, type[BaseModel]] = {
    "POST /assistants/search": AssistantSearch,
    "POST /assistants/count": AssistantMatch,
    "POST /threads": ThreadCreate,
    "POST /threads/search": ThreadSearch,
    "POST /threads/count": ThreadMatch,
    "PATCH /threads/{thread_id}": ThreadPatch,
    "POST /threads/{thread_id}/state/checkpoint": StateRead,
    "POST /threads/{thread_id}/state": StateUpdate,
    "POST /threads/{thread_id}/history": HistoryRead,
    **{
        f"POST {place}/runs{how}": RunCreate
        for place in ("", "/threads/{thread_id}")
        for how in ("", "/wait", "/stream")
    },
    "POST /runs/batch": RunBatch,
    "POST /runs/cancel": RunsCancel,
    "POST /threads/{thread_id}/commands": ThreadCommand,
    "POST /threads/{thread_id}/stream/events": EventStreamRequest,
    "PUT /store/items": ItemPut,
    "DELETE /store/items": ItemDelete,
    "POST /store/items/search": ItemQuery,
    "POST /store/namespaces": NamespaceQuery,
}
"""The bodies of operations. Others that can have a body take any object."""

COMMANDS = "/threads/{thread_id}/commands"

ENDLESS = ("/threads/{thread_id}/stream", "/threads/{thread_id}/stream/events")
"""Streams that have no end."""

OF_GRAPHS = frozenset(
    ("checkpoint", "checkpoint_id", "command", "config", "context", "interrupt_after", "interrupt_before", "webhook")
)
"""Fields that not every graph takes. A quarter of the runs have an input in their place."""

MODELS = "#/components/schemas/{model}"


class LangGraphApi:
    """The surface of an application. Its errors have the dialect's form, and it fails only by what it says it lacks."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def schema(self, url: str) -> BaseSchema:
        return schemathesis.openapi.from_dict(description(self._app, PREFIX, BODIES))

    def fill(self, client: httpx2.Client) -> Known:
        """Make threads: one with an ended run, one with a failed run, one with an open question, and an empty one."""
        threads, runs = [], []
        for agent in (ASSISTANT, "failing", "approving", None):
            thread = client.post(f"{PREFIX}/threads", json={}).json()["thread_id"]
            threads.append(thread)
            if agent is not None:
                body = {"assistant_id": agent, "input": {"messages": [{"role": "user", "content": "Hello"}]}}
                runs.append(client.post(f"{PREFIX}/threads/{thread}/runs", json=body).json()["run_id"])
                _await_end(client, thread, runs[-1])
        return {"thread_id": threads, "run_id": runs}

    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        case.body = _adjusted(case.body, caller)
        sent = case.as_transport_kwargs(base_url=url, headers=caller.headers)
        asked = str(sent)
        endless = case.operation.path.removeprefix(PREFIX) in ENDLESS
        try:
            with requests.request(**sent, timeout=SECONDS, stream=True) as response:
                body = "" if endless and response.status_code < 400 else response.text
        except requests.RequestException as error:
            raise AssertionError(f"no reply to {asked[:MAX_SHOWN_BODY]}: {error}") from error
        status = response.status_code
        told = f"{status} to {asked[:MAX_SHOWN_BODY]}: {body[:MAX_SHOWN_BODY]}"
        assert status < 500 or status in (501, 503), told
        if status >= 400:
            assert response.headers["content-type"] == "application/json", told
            assert list(response.json()) == ["detail"], told
            assert response.json()["detail"], told
        elif caller.is_foreign:
            seen = [name for ids in known.values() for name in ids if name in body and name not in asked]
            assert not seen, f"ids of another tenant, {seen}: {told}"
        return 404 if status == 200 and _told_nothing(case, caller, body) else status


def _told_nothing(case: Case[Any], caller: Caller, body: str) -> bool:
    """Whether a reply with status 200 is one to a missing thread: a refused command, or a stream that stays silent."""
    path = case.operation.path.removeprefix(PREFIX)
    if path == COMMANDS:
        return bool(json.loads(body)["type"] == "error")
    return caller.is_foreign and path == "/threads/{thread_id}/stream/events"


def description(app: FastAPI, prefix: str, bodies: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The operations of a surface in the form of OpenAPI. The application's own description does not have them."""
    routes: list[APIRoute] = []
    models: set[type[BaseModel]] = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and f"{route.path_format}/".startswith(f"{prefix}/"):
            for method in sorted(route.methods or ()):
                model = bodies.get(f"{method} {route.path_format.removeprefix(prefix)}")
                routes.append(_described(route, method, model))
                models |= set() if model is None else {model}
    made = get_openapi(title="surface", version="1", routes=routes)
    for model in models:
        schema = model.model_json_schema(ref_template=MODELS)
        made.setdefault("components", {}).setdefault("schemas", {}).update(
            schema.pop("$defs", {}), **{model.__name__: schema}
        )
    return made


def _described(route: APIRoute, method: str, model: type[BaseModel] | None) -> APIRoute:
    """A copy of a route that is described, with its body."""
    schema = {"type": "object"} if model is None else {"$ref": MODELS.format(model=model.__name__)}
    body = {"requestBody": {"required": model is not None, "content": {"application/json": {"schema": schema}}}}
    return APIRoute(
        route.path,
        route.endpoint,
        methods=[method],
        operation_id=f"{method} {route.path}",
        openapi_extra=body if method in ("POST", "PUT", "PATCH") or model is not None else None,
    )


def _adjusted(body: Any, caller: Caller) -> Any:
    """A body that begins at once, half of the time with an agent that exists. A stranger makes no thread by its id."""
    if isinstance(body, list):
        return [_adjusted(each, caller) for each in body]
    if not isinstance(body, dict):
        return body
    adjusted = dict(body)
    named = body.get("assistant_id")
    if isinstance(named, str) and len(named) % 2:
        adjusted["assistant_id"] = ASSISTANT
        if len(named) % 4 == 1:
            adjusted = {name: value for name, value in adjusted.items() if name not in OF_GRAPHS}
            adjusted["input"] = {"messages": []}
    delay = body.get("after_seconds")
    if isinstance(delay, int | float) and not isinstance(delay, bool) and delay > 0:
        adjusted["after_seconds"] = 0
    if caller.is_foreign and isinstance(body.get("if_not_exists"), str):
        adjusted["if_not_exists"] = "reject"
    return adjusted


def _await_end(client: httpx2.Client, thread: str, run: str) -> None:
    end = time.monotonic() + END_SECONDS
    while client.get(f"{PREFIX}/threads/{thread}/runs/{run}").json()["status"] in ("pending", "running"):
        assert time.monotonic() < end, f"run {run} has not ended"
        time.sleep(0.02)
