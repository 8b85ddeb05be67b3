"""Endpoints for API keys. The scope `admin` concerns all tenants, and so do they."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from ..access.management import MAX_TENANT_LENGTH, KeyManager
from ..access.scopes import AccessScope, needs
from ..errors import InvalidRequest
from ..models.types import Text
from .deps import ActorDep, PrincipalDep, ServicesDep, body_of, described_body
from .errors import problems
from .listing import Cursor, Limit, decode_cursor, next_link
from .replies import JsonReply
from .schemas.keys import KeyChange, KeyCreate, KeyIssued, KeyList, KeyRotate, KeyView

router = APIRouter(prefix="/keys", tags=["keys"])


async def key_manager(services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> KeyManager:
    """Return the manager of keys with the rights of the caller, as a dependency."""
    return KeyManager(services.store, principal, by)


KeyManagerDep = Annotated[KeyManager, Depends(key_manager)]
KeyIdDep = Annotated[str, Path(description="The id of the key: what follows `aq_` in its text.")]


async def refuse_request_key(request: Request) -> None:
    """Raise InvalidRequest for an `Idempotency-Key`: to repeat the reply, the server would have to store the secret."""
    if "idempotency-key" in request.headers:
        raise InvalidRequest(
            "Idempotency-Key: this request cannot be repeated, since its reply has a secret that is not stored. Send "
            "it without the header. If the reply is lost, revoke the key that `GET /keys` shows, or rotate it again",
            field="Idempotency-Key",
        )


SHOWN_ONCE = [Depends(refuse_request_key)]


@router.post(
    "",
    operation_id="createKey",
    summary="Make an API key",
    status_code=201,
    response_model=KeyIssued,
    response_description="The key is stored, and every process admits it.",
    responses=problems(409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(KeyCreate),
    dependencies=SHOWN_ONCE,
)
@needs(AccessScope.ADMIN)
async def create_key(request: Request, services: ServicesDep, keys: KeyManagerDep) -> Response:
    """Make a key. The reply has its text, which cannot be shown again.

    The key has no scope that the caller lacks, and does not expire after them. As long as there is any key, requests
    need one, also from the server's own host. Refused while the tenant is being erased.
    """
    body = await body_of(request, KeyCreate)
    if body.webhook_url is not None:
        await services.queue.check_webhook(body.webhook_url)
    issued = await keys.create(
        body.tenant, body.name, body.scopes, body.expires_at,
        webhook_url=body.webhook_url,
        webhook_secret=None if body.webhook_secret is None else body.webhook_secret.get_secret_value(),
        counts=body.counts,
    )  # fmt: skip
    headers = {"Location": f"/keys/{issued.key.id}"}
    return JsonReply(KeyIssued.issued(issued).model_dump_json(), 201, headers)


@router.get(
    "",
    operation_id="listKeys",
    summary="List the API keys",
    response_model=KeyList,
    responses=problems(422, 503),
)
@needs(AccessScope.ADMIN)
async def list_keys(
    request: Request,
    keys: KeyManagerDep,
    tenant: Annotated[
        Annotated[Text, Query(min_length=1, max_length=MAX_TENANT_LENGTH)] | None,
        Query(description="Only keys of this tenant."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the keys of all tenants by id, also expired and revoked ones. `Link` leads to further keys."""
    _, after = decode_cursor(request, cursor, limit).cursor or (0, "")
    found = await keys.list(tenant, after=after, limit=limit)
    headers = {} if len(found) < limit else next_link(request, limit, 0, found[-1].id)
    reply = KeyList.model_construct(keys=list(map(KeyView.of, found)))
    return JsonReply(reply.model_dump_json(), headers=headers)


@router.get(
    "/{key_id}",
    operation_id="getKey",
    summary="Get an API key",
    response_model=KeyView,
    responses=problems(404, 503),
)
@needs(AccessScope.ADMIN)
async def get_key(key_id: KeyIdDep, keys: KeyManagerDep) -> Response:
    """Return a key without its secrets."""
    return JsonReply(KeyView.of(await keys.get(None, key_id)).model_dump_json())


@router.patch(
    "/{key_id}",
    operation_id="changeKey",
    summary="Change the limits and quotas of an API key",
    response_model=KeyView,
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(KeyChange),
)
@needs(AccessScope.ADMIN)
async def change_key(request: Request, key_id: KeyIdDep, services: ServicesDep, keys: KeyManagerDep) -> Response:
    """Change the given limits and quotas of a key. Every process follows within seconds.

    What contradicts itself, or the settings of the key's tenant, is refused with 422.
    """
    body = await body_of(request, KeyChange)
    changed = await keys.change(None, key_id, body.model_dump(exclude_unset=True))
    services.access.recheck()
    return JsonReply(KeyView.of(changed).model_dump_json())


@router.post(
    "/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Give an API key a new secret",
    response_model=KeyIssued,
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(KeyRotate),
    dependencies=SHOWN_ONCE,
)
@needs(AccessScope.ADMIN)
async def rotate_key(request: Request, key_id: KeyIdDep, services: ServicesDep, keys: KeyManagerDep) -> Response:
    """Give a key a new secret. The reply has its text, which cannot be shown again.

    The present secret stays good for `grace_seconds`, a day by default; an earlier one ends at once. The caller gets
    all rights of the key. They therefore need its scopes, and may not expire before it.
    """
    body = await body_of(request, KeyRotate)
    issued = await keys.rotate(None, key_id, timedelta(seconds=body.grace_seconds))
    services.access.recheck()
    return JsonReply(KeyIssued.issued(issued).model_dump_json())


@router.post(
    "/{key_id}/revoke",
    operation_id="revokeKey",
    summary="Revoke an API key",
    response_model=KeyView,
    responses=problems(404, 503, 504),
)
@needs(AccessScope.ADMIN)
async def revoke_key(key_id: KeyIdDep, services: ServicesDep, keys: KeyManagerDep) -> Response:
    """Revoke a key for good. A second request changes nothing and gets the same reply.

    Every process refuses the key within seconds, and ends its streams and WebSockets. When the last key is revoked, the
    server answers programs on its own host without a key again.
    """
    revoked = await keys.revoke(None, key_id)
    services.access.recheck()
    return JsonReply(KeyView.of(revoked).model_dump_json())
