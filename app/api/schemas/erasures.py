"""Replies about erasures."""

from pydantic import BaseModel, Field

from ...models.erasures import Erasure, ErasureKind, ErasureState
from ...models.types import Moment
from .examples import CREATED, ENDED, example


class ErasureView(BaseModel):
    """An erasure, which is also the receipt of what it removed."""

    model_config = example(
        id="3f0c9f0e-4a55-4c3e-9d3a-0b8f6f1f7a11",
        kind="subject",
        tenant="default",
        name=None,
        state="completed",
        requested_by="key:4Vt0rM2kXq9B",
        started_at=CREATED,
        ended_at=ENDED,
        counts={"messages": 12, "events": 480, "threads": 2, "memories": 2, "items": 3, "usage": 4},
    )

    id: str
    kind: ErasureKind = Field(description="What is erased: a thread, a subject (an end user) or a tenant.")
    tenant: str
    name: str | None = Field(
        description="The id of the thread or the name of the subject. Null for a tenant, and as soon as the erasure is "
        "completed: the receipt names nobody."
    )
    state: ErasureState
    requested_by: str = Field(
        description="`key:ID`; `subject` for an end user; `local` for the command line, and for programs of the "
        "server's host without a key; `anonymous` for other callers without a key."
    )
    started_at: Moment
    ended_at: Moment | None = Field(description="Null while the erasure works.")
    counts: dict[str, int] = Field(
        description="How much was removed, by kind, such as `messages`, `events`, `threads`, `memories` (what agents "
        "remembered), `items`, `attempts`, `deliveries`, `request_keys`, `api_keys`. `records`, `changes`, `forks` and "
        "(of a subject) `usage` were kept without the names. Kinds of which there was nothing are left out."
    )

    @classmethod
    def of(cls, erasure: Erasure) -> "ErasureView":
        """Return the view of an erasure."""
        return cls.model_construct(
            id=erasure.id,
            kind=erasure.kind,
            tenant=erasure.tenant,
            name=erasure.name,
            state=erasure.state,
            requested_by=erasure.actor,
            started_at=erasure.started_at,
            ended_at=erasure.ended_at,
            counts=dict(erasure.counts),
        )


class ErasureList(BaseModel):
    """Erasures, the newest first."""

    erasures: list[ErasureView]
