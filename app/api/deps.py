"""What endpoints ask for."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote, urlencode

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from ..access.rule import Principal
from ..errors import InvalidRequest
from ..models.messages import Accepted, Message, MessageFilter, MessageState, Page, Priority
from ..models.types import Text, ThreadId
from ..services import Services
from ..store.ports import PAGE_TEXT_LENGTH
from ..text import storable
from .errors import InvalidBody, UnsupportedMediaType
from .field_errors import detail_of
from .targets import principal_of

B = TypeVar("B", bound=BaseModel)
_thread_id = TypeAdapter[str](ThreadId)


def services_of(connection: HTTPConnection) -> Services:
    """The bundle of this process."""
    bundle: Services = connection.app.state.services
    return bundle


async def services(connection: HTTPConnection) -> Services:
    """`services_of` as a dependency; a coroutine, since FastAPI runs others on threads."""
    return services_of(connection)


ServicesDep = Annotated[Services, Depends(services)]


async def principal(connection: HTTPConnection) -> Principal:
    """`principal_of` as a dependency."""
    return principal_of(connection)


PrincipalDep = Annotated[Principal, Depends(principal)]


async def thread_id_in_path(
    thread_id: Annotated[str, Path(description="The thread's id, percent-encoded: `a/b` is `a%2Fb`.", min_length=1)],
) -> str:
    """The thread id as the client meant it. Raises InvalidRequest."""
    try:
        return _thread_id.validate_python(unquote(thread_id, errors="strict"))
    except ValidationError as error:
        raise InvalidRequest(f"thread_id: {detail_of(error.errors()[0])}", field="thread_id") from None
    except UnicodeDecodeError:
        raise InvalidRequest("thread_id: expected percent-encoded UTF-8", field="thread_id") from None


ThreadIdDep = Annotated[str, Depends(thread_id_in_path)]
MessageIdDep = Annotated[str, Path(description="The message's id, as the submit gave it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many entries.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="Where to go on: from the `Link` of the page before.")
]


async def body_of(request: Request, model: type[B]) -> B:
    """The JSON body as this model, parsed from its bytes once. Raises UnsupportedMediaType, InvalidBody."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
    body = await request.body()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidBody(error.errors(include_url=False, include_input=False), model) from None


def described_body(model: type[BaseModel], *headers: dict[str, Any]) -> dict[str, Any]:
    """For the API's description: the body that `body_of` takes, and headers that are looked at by hand."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    described: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    return {**described, "parameters": list(headers)} if headers else described


MAX_KEY_LENGTH = 255

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names this request, so that it is carried out once however often it is sent within a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
}


def replay_headers(accepted: Accepted) -> dict[str, str]:
    """What tells an answer of before from a new one."""
    return {"Idempotent-Replayed": "true"} if accepted.replayed else {}


def decode_cursor(cursor: str | None, limit: int) -> Page:
    """The page that a cursor of ours means. Raises InvalidRequest."""
    if cursor is None:
        return Page(limit)
    try:
        number, text = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
        if isinstance(number, int) and isinstance(text, str) and abs(number) < 2**63:
            return Page(limit, (number, storable(text)))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        pass
    raise InvalidRequest("cursor: expected one from a Link header of this server", field="cursor")


def next_link(request: Request, limit: int, number: int, text: str = "") -> dict[str, str]:
    """The `Link` header to the page behind the entry with this key; a relative reference, right behind any proxy."""
    cursor = base64.urlsafe_b64encode(json.dumps([number, text]).encode()).rstrip(b"=").decode()
    path = quote(request.scope["path"], safe="/%:@!$&'()*+,;=~")
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("limit", "cursor")]
    return {"Link": f'<{path}?{urlencode([*kept, ("limit", limit), ("cursor", cursor)])}>; rel="next"'}


def link_behind(request: Request, page: Sequence[Message], limit: int) -> dict[str, str]:
    """`next_link` behind these messages, unless they are surely the last ones: a page may end early by its texts."""
    texts = sum(len(each.content) + len(each.result or each.error or "") + len(each.output or "") for each in page)
    if len(page) < limit and texts < PAGE_TEXT_LENGTH // 4:
        return {}
    return next_link(request, limit, page[-1].number) if page else {}


Name = Annotated[Text, Query(min_length=1, max_length=255)]


async def filter_of_query(
    thread_id: Annotated[ThreadId | None, Query(description="Of this conversation only.")] = None,
    agent: Annotated[Name | None, Query(description="For this agent only.")] = None,
    priority: Annotated[Priority | None, Query(description="Of this priority only.")] = None,
    error_code: Annotated[Name | None, Query(description="Failed with this code only.")] = None,
    fingerprint: Annotated[Name | None, Query(description="Failed in this way only.")] = None,
) -> MessageFilter:
    """Which messages are listed."""
    return MessageFilter(
        thread_id=thread_id, agent=agent, priority=priority, error_code=error_code, fingerprint=fingerprint
    )


FilterDep = Annotated[MessageFilter, Depends(filter_of_query)]
StateQuery = Annotated[list[MessageState] | None, Query(description="In one of these states only.")]
