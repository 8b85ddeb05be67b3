"""Error replies in the format of RFC 9457."""

from pydantic import BaseModel

from ...models.messages import MessageState
from .examples import example


class ProblemError(BaseModel):
    """One wrong field."""

    field: str
    detail: str


class Problem(BaseModel):
    """A problem as RFC 9457 defines it. `code` is stable, `detail` is for people, `state` is the message's state."""

    model_config = example(
        type="about:blank",
        title="Not Found",
        status=404,
        detail="There is no message with the id '550e…'.",
        code="message_not_found",
        errors=[],
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemError] = []
    state: MessageState | None = None
