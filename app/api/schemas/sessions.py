"""The body of a request for a session, and replies with one."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...access.sessions import csrf_token_of
from ...models.audit import Actor
from ...models.types import Moment
from .examples import ENDED, example

MAX_CREDENTIAL_LENGTH = 16_384


class SessionCreate(BaseModel):
    """A credential to sign in with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"credential": "aq_4Vt0rM2kXq9B_5vXWQx7ha3PLp1FtUSiYdKoJz0bE8ncGRm6TAyNq2uk0gH9r4"}]
        },
    )

    credential: Annotated[SecretStr, Field(min_length=1, max_length=MAX_CREDENTIAL_LENGTH)] = Field(
        description="An API key, or a token of the identity provider."
    )


class SessionView(BaseModel):
    """The caller of a request, and their session if they have one."""

    model_config = example(
        actor="key:4Vt0rM2kXq9B",
        tenant="default",
        subject=None,
        scopes=["submit", "read"],
        expires_at=ENDED,
        ends_at=ENDED,
        csrf_token="yc4sJHqVKPp6CmLcVgFv5SbQYQnbCkqJHYzKt7FhXo0",  # noqa: S106  a made-up token
        hide_payloads=False,
    )

    actor: str = Field(
        description="Who calls: `key:ID`, `subject:NAME` for an end user, `user:NAME` for a user of a proxy, `local` "
        "for programs of the server's host without a key, `anonymous` for other callers without a key."
    )
    tenant: str
    subject: str | None = Field(description="The end user for whom the caller acts.")
    scopes: list[AccessScope]
    expires_at: Moment | None = Field(
        description="When the session ends if it is not used before, or when the credential expires. Null: never."
    )
    ends_at: Moment | None = Field(description="When the session ends at the latest. Null for callers without one.")
    csrf_token: str | None = Field(
        description="To be sent as `X-CSRF-Token` with each request of the session that changes something. Null for "
        "callers without a session."
    )
    hide_payloads: bool = Field(
        description="Whether pages should hide the texts of messages until they are asked for, as HIDE_PAYLOADS says."
    )

    @classmethod
    def of(cls, principal: Principal, actor: Actor, *, hide_payloads: bool) -> "SessionView":
        """Return the view of a caller."""
        session = principal.session
        return cls(
            actor=actor.name,
            tenant=principal.tenant,
            subject=principal.subject,
            scopes=[scope for scope in AccessScope if scope in principal.scopes],
            expires_at=principal.ends_at,
            ends_at=None if session is None else session.last,
            csrf_token=None if session is None else csrf_token_of(session),
            hide_payloads=hide_payloads,
        )
