"""Replies with records of the audit log."""

from typing import Any

from pydantic import BaseModel, Field

from ...models.audit import AuditAction, AuditRecord
from ...models.types import Moment
from .examples import ENDED, MESSAGE_ID, example


class AuditView(BaseModel):
    """The changes of one call, and its caller."""

    model_config = example(
        number=17,
        at=ENDED,
        actor="key:4Vt0rM2kXq9B",
        key_id="4Vt0rM2kXq9B",
        address="192.0.2.17",
        action="message.cancel",
        tenant="default",
        targets=[MESSAGE_ID],
        affected=1,
        details={},
    )

    number: int = Field(description="Grows with each record.")
    at: Moment
    actor: str = Field(
        description="`key:ID`; `subject:NAME` for an end user; `user:NAME` for a user of a proxy; `local` for the "
        "command line, and for programs of the server's host without a key; `anonymous` for others without a key."
    )
    key_id: str | None = Field(description="The API key that was presented, or that made the token.")
    address: str | None = Field(description="The caller's address. Null for the command line.")
    action: AuditAction
    tenant: str | None = Field(description="The tenant whose data was changed. Null for what concerns all tenants.")
    targets: list[str] = Field(description="The ids of what was changed.")
    affected: int = Field(description="How many ids these are.")
    details: dict[str, Any] = Field(
        description="What else the change was, by name, such as `source` of a fork and `grace_seconds` of a rotation."
    )

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditView":
        """Return the view of a record."""
        return cls.model_construct(**record._asdict() | {"targets": list(record.targets), "affected": record.affected})


class AuditList(BaseModel):
    """Records of the audit log, the newest first."""

    records: list[AuditView]
