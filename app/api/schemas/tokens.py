"""Bodies of requests for tokens and tickets, and replies with them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...access.scopes import AccessScope
from ...access.tokens import DEFAULT_SECONDS, IssuedToken, TokenWish
from ...errors import InvalidRequest
from ...models.types import Moment, Subject, Text, ThreadId
from ...models.visibility import ThreadNarrowing
from ...store.limits import MAX_TOKEN_SECONDS
from .examples import ENDED, MESSAGE_ID, example

MAX_NAMES = 20
"""Maximum number of threads, and of agents, that a token names. A token is sent with every request."""

MAX_RATE = 1_000_000
EXAMPLE = "aqt_eyJhbGciOiJIUzI1NiIsImtpZCI6IjZ2VW4iLCJ0eXAiOiJKV1QifQ.eyJ0bnQiOiJkZWZhdWx0In0.c2lnbmF0dXJl"

AgentName = Annotated[Text, Field(min_length=1, max_length=255)]
TokenScope = Literal["submit", "read", "control"]


class TokenCreate(BaseModel):
    """A token to make. What is left out is not narrowed."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"subject": "user-42", "expires_in": DEFAULT_SECONDS}]}
    )

    subject: Subject | None = Field(
        None, description="The end user: the token sees only messages and threads that belong to them."
    )
    thread_ids: Annotated[list[ThreadId], Field(min_length=1, max_length=MAX_NAMES)] | None = Field(
        None, description="The only threads that the token may use, besides those with the prefix."
    )
    thread_prefix: ThreadId | None = Field(
        None, description="What the ids of the threads that the token may use begin with."
    )
    agents: Annotated[list[AgentName], Field(min_length=1, max_length=MAX_NAMES)] | None = Field(
        None, description="The only agents whose messages the token may use."
    )
    scopes: Annotated[list[TokenScope], Field(min_length=1, max_length=3)] | None = Field(
        None, description="What the token may do: only what the caller may do. By default `submit` and `read`."
    )
    expires_in: Annotated[int, Field(strict=True, ge=1, le=MAX_TOKEN_SECONDS)] = Field(
        DEFAULT_SECONDS, description="Seconds for which the token is good. It never outlives the caller's key."
    )
    rate_per_minute: Annotated[int, Field(strict=True, ge=1, le=MAX_RATE)] | None = Field(
        None, description="Requests a minute that the token may make. It is kept in the token and not yet enforced."
    )

    def wish(self) -> TokenWish:
        """Return the request for the tokens' maker."""
        threads = None
        if self.thread_ids is not None or self.thread_prefix is not None:
            threads = ThreadNarrowing(frozenset(self.thread_ids or ()), self.thread_prefix)
        return TokenWish(
            self.subject,
            threads,
            None if self.agents is None else frozenset(self.agents),
            None if self.scopes is None else frozenset(map(AccessScope, self.scopes)),
            self.expires_in,
            self.rate_per_minute,
        )


class TokenIssued(BaseModel):
    """A token. It cannot be shown again."""

    model_config = example(token=EXAMPLE, expires_at=ENDED, subject="user-42", scopes=["submit", "read"])

    token: str = Field(description="To be sent as `Authorization: Bearer TOKEN`.")
    expires_at: Moment
    subject: str | None
    scopes: list[AccessScope]

    @classmethod
    def of(cls, issued: IssuedToken, subject: str | None) -> "TokenIssued":
        """Return the reply with a new token."""
        return cls(token=issued.text, expires_at=issued.expires_at, subject=subject, scopes=list(issued.scopes))


class TokensRevoke(BaseModel):
    """The tokens to end: those of a `subject`, or with `all` those of the tenant."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"subject": "user-42"}, {"all": True}]})

    subject: Subject | None = Field(None, description="The end user whose tokens end.")
    all: Literal[True] | None = Field(None, description="Whether all tokens of the tenant end.")

    def revoked_subject(self) -> str | None:
        """Return the subject, None for the tenant. Raises InvalidRequest unless exactly one field is given."""
        if (self.subject is None) == (self.all is None):
            raise InvalidRequest("subject: expected either subject or all", field="subject")
        return self.subject


class TokensRevoked(BaseModel):
    """The tokens were ended. Every process refuses them within seconds."""

    model_config = example(subject="user-42")

    subject: str | None = Field(description="The end user whose tokens were ended; null for all of the tenant.")


class TicketCreate(BaseModel):
    """A ticket to make."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}, {"message_id": MESSAGE_ID}]})

    message_id: str | None = Field(None, strict=True, description="The only message whose stream the ticket opens.")


class TicketIssued(BaseModel):
    """A ticket. It cannot be shown again."""

    model_config = example(ticket=EXAMPLE.replace("aqt_", "aqk_"), expires_at=ENDED)

    ticket: str = Field(description="To be sent as `?ticket=` to a stream or to `/ws`, once.")
    expires_at: Moment
