"""Endpoints for tokens and tickets: how browsers and end users get at what is theirs."""

from fastapi import APIRouter, Request, Response

from ..access.scopes import AccessScope, needs
from .deps import ActorDep, PrincipalDep, ServicesDep, body_of, described_body
from .errors import problems
from .replies import JsonReply
from .schemas.tokens import TicketCreate, TicketIssued, TokenCreate, TokenIssued, TokensRevoke, TokensRevoked

router = APIRouter(tags=["tokens"])


@router.post(
    "/tokens",
    operation_id="createToken",
    summary="Make a token for an end user",
    status_code=201,
    response_model=TokenIssued,
    response_description="The token, which is stored nowhere.",
    responses=problems(413, 415, 422, 503, 504),
    openapi_extra=described_body(TokenCreate),
)
@needs(AccessScope.SUBMIT)
async def create_token(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Make a short-lived token that may do a part of what the caller may do. It is sent like an API key.

    The caller needs an API key: a token makes no tokens. The token ends with the key.
    """
    body = await body_of(request, TokenCreate)
    issued = await services.tokens.issue(principal, body.wish())
    return JsonReply(TokenIssued.of(issued, body.subject).model_dump_json(), 201)


@router.post(
    "/tokens/revoke",
    operation_id="revokeTokens",
    summary="End the tokens of an end user",
    response_model=TokensRevoked,
    responses=problems(413, 415, 422, 503, 504),
    openapi_extra=described_body(TokensRevoke),
)
@needs(AccessScope.SUBMIT)
async def revoke_tokens(request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> Response:
    """End all tokens and tickets of an end user, or of all of the tenant, that were made before now.

    Their streams and WebSockets end within seconds. The caller needs an API key.
    """
    body = await body_of(request, TokensRevoke)
    await services.tokens.end(principal, body.revoked_subject(), by)
    services.access.recheck()
    return JsonReply(TokensRevoked(subject=body.subject).model_dump_json())


@router.post(
    "/tickets",
    operation_id="createTicket",
    summary="Get a ticket for a stream or a WebSocket",
    status_code=201,
    response_model=TicketIssued,
    response_description="The ticket, which is good for one connection within 30 seconds.",
    responses=problems(404, 413, 415, 422, 503, 504),
    openapi_extra=described_body(TicketCreate),
)
@needs(AccessScope.READ)
async def create_ticket(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Get a ticket to open one stream or WebSocket where no header can be sent: `?ticket=`.

    The connection has the rights of the caller. With a `message_id`, the ticket opens only the stream of this message.
    """
    body = await body_of(request, TicketCreate)
    message_id = body.message_id
    if message_id is not None:
        await services.queue.get(principal, message_id)
    issued = await services.tokens.issue_ticket(principal, message_id)
    reply = TicketIssued(ticket=issued.text, expires_at=issued.expires_at)
    return JsonReply(reply.model_dump_json(), 201)
