"""The stored record of a failure."""

from pydantic import BaseModel, ConfigDict


class FailureDetails(BaseModel):
    """The place of a failure, without secrets. None means unknown. Stores keep it as one JSON text.

    `node` is the innermost node of the graph, or the function agent. `where` is the file, line and function that
    raised. It names the user's own code if the error passed through it. `traceback` has the most recent call last.
    """

    model_config = ConfigDict(frozen=True)

    node: str | None = None
    error_type: str | None = None
    where: str | None = None
    traceback: str | None = None
