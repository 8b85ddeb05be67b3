"""Adds to FastAPI's description of the API what endpoints read and send without declaring it."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Route

from ..access.scopes import AccessScope, public, scope_of
from . import errors
from .header_checks import SAFE_METHODS
from .replies import JsonReply
from .schemas import (
    agents,
    audit,
    changes,
    dead_letters,
    deliveries,
    erasures,
    health,
    items,
    keys,
    messages,
    problems,
    queue,
    selections,
    sessions,
    statistics,
    storage,
    submissions,
    threads,
    usage,
)
from .schemas.changes import Change, ChangesReset, CursorMoved
from .schemas.events import StreamEvent
from .schemas.items import ItemDelete, ItemPut, ItemQuery, NamespaceQuery
from .schemas.keys import KeyChange, KeyCreate, KeyRotate
from .schemas.problems import Problem
from .schemas.selections import DeadLetterSelection, QueuedSelection, UnfinishedSelection
from .schemas.sessions import SessionCreate
from .schemas.submissions import MessageAnswer, MessageBatch, MessageChange, MessageCreate, MessageRegenerate
from .schemas.tenants import TenantChange
from .schemas.thread_states import StateUpdate
from .schemas.threads import ThreadCreate, ThreadFork, ThreadPatch
from .schemas.tokens import TicketCreate, TokenCreate, TokensRevoke

SCHEMAS = (
    agents,
    audit,
    changes,
    dead_letters,
    deliveries,
    erasures,
    health,
    items,
    keys,
    messages,
    problems,
    queue,
    selections,
    sessions,
    statistics,
    storage,
    submissions,
    threads,
    usage,
)
"""Modules whose models have examples."""

UNDECLARED_BODIES = (
    MessageCreate,
    MessageBatch,
    MessageChange,
    MessageAnswer,
    MessageRegenerate,
    StateUpdate,
    ThreadPatch,
    ThreadCreate,
    ThreadFork,
    QueuedSelection,
    UnfinishedSelection,
    DeadLetterSelection,
    ItemPut,
    ItemDelete,
    ItemQuery,
    NamespaceQuery,
    KeyChange,
    KeyCreate,
    KeyRotate,
    TenantChange,
    TokenCreate,
    TokensRevoke,
    TicketCreate,
    SessionCreate,
)
"""Bodies that endpoints read without declaring them to FastAPI."""

UNDECLARED_REPLIES = (Problem, StreamEvent, Change, ChangesReset, CursorMoved)
"""Replies that no endpoint declares as a model."""

UNUSED = ("HTTPValidationError", "ValidationError")
"""FastAPI's models for a 422. This API answers with a problem instead."""


def describe(app: FastAPI) -> None:
    """Add the undeclared models to the description. Add the stages' refusals to each operation.

    Each operation has 422. An operation that needs a scope has 401 and 403. An operation that changes something has 403
    too, for pages of other sites.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            shared: dict[str, Any] = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (*UNDECLARED_BODIES, *UNDECLARED_REPLIES):
                shared.update(_described(model, reply=model in UNDECLARED_REPLIES))
            for method, operation, needed in _operations(app, schema):
                operation["responses"] |= errors.problems(422)
                if needed is not None:
                    operation["responses"] |= errors.problems(401, 403)
                if method not in SAFE_METHODS:
                    operation["responses"] |= errors.problems(403)
                operation["responses"] = {str(status): each for status, each in operation["responses"].items()}
                operation["responses"] = dict(sorted(operation["responses"].items()))
            for unused in UNUSED:
                shared.pop(unused, None)
            _restore_examples(shared)
            schema["components"]["schemas"] = dict(sorted(shared.items()))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description


def _operations(app: FastAPI, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], AccessScope | None]]:
    """Yield each operation's method, its description and the scope that it needs (None: public)."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield method, schema["paths"][route.path_format][method.lower()], scope_of(route.endpoint)


def _restore_examples(shared: dict[str, Any]) -> None:
    """Put the null fields of examples back into the schemas `shared`.

    FastAPI drops these fields, though the schemas require them.
    """
    for module in SCHEMAS:
        for name, model in vars(module).items():
            if name in shared and isinstance(model, type) and issubclass(model, BaseModel):
                extra = model.model_config.get("json_schema_extra")
                if isinstance(extra, dict) and "examples" in extra:
                    shared[name]["examples"] = extra["examples"]


def _described(model: type[BaseModel], *, reply: bool) -> dict[str, Any]:
    """Return the JSON Schemas of a model and of the models that it contains, by name.

    With `reply`, describe what the server sends; otherwise what it accepts.
    """
    described = model.model_json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization" if reply else "validation"
    )
    return {**described.pop("$defs", {}), model.__name__: described}


@public
async def get_openapi(request: Request) -> Response:
    """Return the OpenAPI description as JSON."""
    schema = request.app.openapi()
    if root_path := request.scope.get("root_path", "").rstrip("/"):
        schema = {**schema, "servers": [{"url": root_path}]}
    return JsonReply(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


routes = [Route("/openapi.json", get_openapi, include_in_schema=False)]
