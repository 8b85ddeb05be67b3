"""Dependencies of endpoints: services, principal, ids in the path, the body."""

from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, Path, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from ..access.actors import actor_of
from ..access.principals import Principal
from ..errors import InvalidRequest
from ..models.audit import Actor
from ..models.messages import Accepted
from ..models.types import ThreadId
from ..services import Services
from .errors import InvalidBody, UnsupportedMediaType
from .field_errors import detail_of
from .json_limits import check_json_values
from .limit_headers import limit_headers
from .request_reading import header_value, whole_body
from .targets import principal_of

B = TypeVar("B", bound=BaseModel)
_thread_id = TypeAdapter[str](ThreadId)


def services_of(connection: HTTPConnection) -> Services:
    """Return the services of this process."""
    bundle: Services = connection.scope["app"].services
    return bundle


async def services(connection: HTTPConnection) -> Services:
    """Return the services as a dependency. This is a coroutine, since FastAPI runs plain functions on threads."""
    return services_of(connection)


ServicesDep = Annotated[Services, Depends(services)]


async def principal(connection: HTTPConnection) -> Principal:
    """Return the principal of the request, as a dependency."""
    return principal_of(connection)


PrincipalDep = Annotated[Principal, Depends(principal)]


async def actor(connection: HTTPConnection) -> Actor:
    """Return who sends the request, for the audit log, as a dependency."""
    return actor_of(principal_of(connection), connection.scope)


ActorDep = Annotated[Actor, Depends(actor)]


async def thread_id_in_path(
    thread_id: Annotated[str, Path(description="The thread's id, percent-encoded: `a/b` is `a%2Fb`.", min_length=1)],
) -> str:
    """Return the decoded thread id. Raises InvalidRequest if it is no percent-encoded UTF-8 or no valid id."""
    try:
        return _thread_id.validate_python(unquote(thread_id, errors="strict"))
    except ValidationError as error:
        raise InvalidRequest(f"thread_id: {detail_of(error.errors()[0])}", field="thread_id") from None
    except UnicodeDecodeError:
        raise InvalidRequest("thread_id: expected percent-encoded UTF-8", field="thread_id") from None


ThreadIdDep = Annotated[str, Depends(thread_id_in_path)]
MessageIdDep = Annotated[
    str, Path(description="The message's id, from the reply to its submit, or one of its aliases.")
]


async def body_of(request: Request, model: type[B]) -> B:
    """Return the JSON body as an instance of `model`.

    Raises UnsupportedMediaType if the header Content-Type does not name JSON, InvalidRequest if the body has too many
    values, and InvalidBody if it does not fit.
    """
    media_type = header_value(request, b"content-type").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
    body = await whole_body(request)
    check_json_values(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidBody(error.errors(include_url=False, include_input=False), model) from None


def described_body(model: type[BaseModel], *headers: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that `body_of` reads, and of the given headers."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    described: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    return {**described, "parameters": list(headers)} if headers else described


MAX_KEY_LENGTH = 255

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Identifies this request. It is carried out only once, even if it is sent again within a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
}


def accepted_headers(accepted: Accepted) -> dict[str, str]:
    """Return the header that marks a repeated reply, those that tell what is left of limits, and `traceparent`.

    Any may be missing.
    """
    headers = {"Idempotent-Replayed": "true"} if accepted.replayed else limit_headers(accepted.counted)
    return headers if accepted.traceparent is None else {**headers, "traceparent": accepted.traceparent}
