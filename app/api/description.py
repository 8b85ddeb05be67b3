"""The API's description, with what FastAPI cannot know of endpoints that parse and answer by hand."""

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.routing import Route

from . import errors
from .gate import SAFE_METHODS
from .replies import JsonReply
from .schemas import admin as operation_schemas
from .schemas import messages as schemas
from .schemas.admin import DeadLetterSelection, UnfinishedSelection
from .schemas.events import StreamEvent
from .schemas.messages import MessageAnswer, MessageBatch, MessageChange, MessageCreate, Problem

READ_BY_HAND = (MessageCreate, MessageBatch, MessageChange, MessageAnswer, UnfinishedSelection, DeadLetterSelection)
"""Bodies that endpoints read by themselves."""

SENT_BY_HAND = (Problem, StreamEvent)
"""Replies that no endpoint declares as a model."""

UNUSED = ("HTTPValidationError", "ValidationError")
"""FastAPI's own 422; ours are problems, like all errors."""


def describe(app: FastAPI) -> None:
    """Have the application describe these models, and on each operation the refusals that every route has.

    These are 422, and 403 for pages of other sites on all that is no simple read.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            shared: dict[str, Any] = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (*READ_BY_HAND, *SENT_BY_HAND):
                shared.update(_described(model, reply=model in SENT_BY_HAND))
            operations = (item for path in schema["paths"].values() for item in path.items())
            for method, operation in operations:
                operation["responses"] |= errors.problems(422)
                if method.upper() not in SAFE_METHODS:
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


def _restore_examples(shared: dict[str, Any]) -> None:
    """Put back what FastAPI leaves out of examples: fields that are null, without which they are not as described."""
    for module in (schemas, operation_schemas):
        for name, model in vars(module).items():
            if name in shared and isinstance(model, type) and issubclass(model, BaseModel):
                extra = model.model_config.get("json_schema_extra")
                if isinstance(extra, dict) and "examples" in extra:
                    shared[name]["examples"] = extra["examples"]


def _described(model: type[BaseModel], *, reply: bool) -> dict[str, Any]:
    """Return the schema of a model and of what it is made of, by their names."""
    described = model.model_json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization" if reply else "validation"
    )
    return {**described.pop("$defs", {}), model.__name__: described}


async def get_openapi(request: Request) -> Response:
    """Answer with the description."""
    schema = request.app.openapi()
    if root_path := request.scope.get("root_path", "").rstrip("/"):
        schema = {**schema, "servers": [{"url": root_path}]}
    return JsonReply(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


routes = [Route("/openapi.json", get_openapi, include_in_schema=False)]
