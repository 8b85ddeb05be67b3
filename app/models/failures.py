"""The stored record of a failure."""

from pydantic import BaseModel, ConfigDict


class FailureDetails(BaseModel):
    """The place of a failure, without secrets. None means unknown. Stores keep it as one JSON text.

    `node` is the innermost node of the graph, or the function agent. `where` is the file, line and function that
    raised. If the user's own code is in the traceback, `where` names that code. `traceback` has the most recent call
    last.
    """

    model_config = ConfigDict(frozen=True)

    node: str | None = None
    error_type: str | None = None
    where: str | None = None
    traceback: str | None = None
