"""The calls about callers: their keys, tokens and tickets, and what they changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import models
from ..core.requests import Call, segment
from ..errors import ConfigurationError
from ..models.base import list_reader, reader
from .fields import given_of


def create_token(body: Mapping[str, Any]) -> Call[models.Token]:
    """Return the call of `POST /tokens`."""
    given = given_of(body)
    return Call("POST", "/tokens", reader(models.Token), body=given)


def revoke_tokens(subject: str | None, *, all_of_tenant: bool) -> Call[models.TokensRevoked]:
    """Return the call of `POST /tokens/revoke`."""
    if (subject is None) != all_of_tenant:
        raise ConfigurationError("Give either `subject` or `all_of_tenant=True`.")
    body = {"all": True} if all_of_tenant else {"subject": subject}
    return Call("POST", "/tokens/revoke", reader(models.TokensRevoked), body=body)


def create_ticket(message_id: str | None) -> Call[models.Ticket]:
    """Return the call of `POST /tickets`."""
    body = {} if message_id is None else {"message_id": message_id}
    return Call("POST", "/tickets", reader(models.Ticket), body=body)


def keys(query: Mapping[str, Any]) -> Call[list[models.Key]]:
    """Return the call of `GET /keys`."""
    return Call("GET", "/keys", list_reader(models.Key, "keys"), query=query)


def create_key(body: Mapping[str, Any]) -> Call[models.KeyIssued]:
    """Return the call of `POST /keys`. The server stores no secret, and therefore no reply for an idempotency key."""
    read = reader(models.KeyIssued)
    return Call("POST", "/keys", read, body=given_of(body), repeatable=False, keyed=False)


def key(key_id: str) -> Call[models.Key]:
    """Return the call of `GET /keys/{key_id}`."""
    return Call("GET", f"/keys/{segment(key_id)}", reader(models.Key))


def change_key(key_id: str, changes: Mapping[str, Any]) -> Call[models.Key]:
    """Return the call of `PATCH /keys/{key_id}`. A None in `changes` is sent, since it gives a default."""
    return Call("PATCH", f"/keys/{segment(key_id)}", reader(models.Key), body=dict(changes))


def rotate_key(key_id: str, grace_seconds: float | None) -> Call[models.KeyIssued]:
    """Return the call of `POST /keys/{key_id}/rotate`."""
    path, body = f"/keys/{segment(key_id)}/rotate", given_of({"grace_seconds": grace_seconds})
    return Call("POST", path, reader(models.KeyIssued), body=body, repeatable=False, keyed=False)


def revoke_key(key_id: str) -> Call[models.Key]:
    """Return the call of `POST /keys/{key_id}/revoke`."""
    return Call("POST", f"/keys/{segment(key_id)}/revoke", reader(models.Key))


def tenants(query: Mapping[str, Any]) -> Call[list[models.Tenant]]:
    """Return the call of `GET /tenants`."""
    return Call("GET", "/tenants", list_reader(models.Tenant, "tenants"), query=query)


def tenant(name: str) -> Call[models.Tenant]:
    """Return the call of `GET /tenants/{tenant}`."""
    return Call("GET", f"/tenants/{segment(name)}", reader(models.Tenant))


def change_tenant(name: str, changes: Mapping[str, Any]) -> Call[models.Tenant]:
    """Return the call of `PATCH /tenants/{tenant}`. A None in `changes` is sent, since it gives a default."""
    return Call("PATCH", f"/tenants/{segment(name)}", reader(models.Tenant), body=dict(changes))


def audit(query: Mapping[str, Any]) -> Call[list[models.AuditRecord]]:
    """Return the call of `GET /audit`."""
    return Call("GET", "/audit", list_reader(models.AuditRecord, "records"), query=given_of(query))


def caller() -> Call[models.Caller]:
    """Return the call of `GET /session`."""
    return Call("GET", "/session", reader(models.Caller))
