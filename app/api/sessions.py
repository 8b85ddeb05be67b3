"""Endpoints for sessions of browsers: sign in, who am I, sign out."""

from fastapi import APIRouter, Request, Response

from ..access.actors import actor_of
from ..access.scopes import public
from ..access.sessions import check_sign_in, cookie_in, drop_cookie
from .deps import ServicesDep, body_of, described_body
from .errors import problems
from .replies import JsonReply
from .schemas.sessions import SessionCreate, SessionView

router = APIRouter(tags=["sessions"])

CSRF_TOKEN = {
    "name": "X-CSRF-Token",
    "in": "header",
    "description": "The `csrf_token` of `GET /session`. Requests with a session need it.",
    "schema": {"type": "string"},
}


@router.post(
    "/session",
    operation_id="createSession",
    summary="Sign in",
    status_code=201,
    response_model=SessionView,
    response_description="The caller is signed in. `Set-Cookie` has the session.",
    responses=problems(401, 403, 413, 415, 422, 429, 503, 504),
    openapi_extra=described_body(SessionCreate),
)
@public
async def create_session(request: Request, services: ServicesDep) -> Response:
    """Begin a session with an API key, or with a token of the identity provider. The session has their rights.

    A session needs https, or a request made directly from the server's own host. A page has to be of this server's own
    origin. An earlier session of the browser ends. After ten failed attempts from one address, further ones are
    refused for a minute.
    """
    connection = request.scope
    check_sign_in(connection)
    services.access.check_sessions_possible(connection)
    body = await body_of(request, SessionCreate)
    client = connection.get("client")
    text, principal = await services.sign_in.sign_in(
        body.credential.get_secret_value(),
        "" if client is None else client[0],
        needs_credentials=services.access.takes_credentials,
    )
    earlier = cookie_in(connection)
    if earlier is not None and await services.sign_in.end_earlier(earlier, connection):
        services.access.recheck()
    headers = {"Set-Cookie": services.access.session_cookie(connection, principal, text)}
    view = SessionView.of(principal, actor_of(principal, connection), hide_payloads=services.settings.hide_payloads)
    return JsonReply(view.model_dump_json(), 201, headers)


@router.get(
    "/session",
    operation_id="getSession",
    summary="Tell who the caller is",
    response_model=SessionView,
    responses=problems(401, 403, 503),
)
@public
async def get_session(request: Request, services: ServicesDep) -> Response:
    """Return the caller with their scopes, and the CSRF token of their session. Needs any credential, but no scope."""
    principal = await services.access.look_up(request.scope, None)
    cookie = await services.access.renewed_cookie(request.scope, principal)
    view = SessionView.of(principal, actor_of(principal, request.scope), hide_payloads=services.settings.hide_payloads)
    return JsonReply(view.model_dump_json(), headers={} if cookie is None else {"Set-Cookie": cookie})


@router.delete(
    "/session",
    operation_id="deleteSession",
    summary="Sign out",
    status_code=204,
    response_class=Response,
    response_description="The session has ended in every process within seconds.",
    responses=problems(401, 403, 503, 504),
    openapi_extra={"parameters": [CSRF_TOKEN]},
)
@public
async def delete_session(request: Request, services: ServicesDep) -> Response:
    """End the session, with its streams and WebSockets. For callers without a session, nothing changes."""
    principal = await services.access.look_up(request.scope, None)
    if principal.session is None:
        return Response(status_code=204)
    await services.sessions.end(principal, actor_of(principal, request.scope))
    services.access.recheck()
    return Response(status_code=204, headers={"Set-Cookie": drop_cookie(request.scope)})
