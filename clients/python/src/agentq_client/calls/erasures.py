"""The calls that erase, and read the receipts."""

from __future__ import annotations

from .. import models
from ..core.requests import Call, segment
from ..models.base import list_reader, reader
from .threads import thread_path

RECEIPT = {"Prefer": "respond-async"}


def erase_thread(thread_id: str) -> Call[models.Erasure]:
    """Return the call of `DELETE /threads/{thread_id}` that is answered with a receipt."""
    return Call("DELETE", thread_path(thread_id), reader(models.Erasure), headers=RECEIPT, repeatable=False)


def erase_subject(subject: str) -> Call[models.Erasure]:
    """Return the call of `DELETE /subjects/{subject}`."""
    return Call("DELETE", f"/subjects/{segment(subject)}", reader(models.Erasure), repeatable=False)


def erase_tenant(tenant: str) -> Call[models.Erasure]:
    """Return the call of `DELETE /tenants/{tenant}`."""
    return Call("DELETE", f"/tenants/{segment(tenant)}", reader(models.Erasure), repeatable=False)


def erasures(limit: int | None) -> Call[list[models.Erasure]]:
    """Return the call of `GET /erasures`."""
    return Call("GET", "/erasures", list_reader(models.Erasure, "erasures"), query={"limit": limit})


def erasure(erasure_id: str) -> Call[models.Erasure]:
    """Return the call of `GET /erasures/{erasure_id}`."""
    return Call("GET", f"/erasures/{segment(erasure_id)}", reader(models.Erasure))
