"""The stored record of a failure."""

from pydantic import BaseModel, ConfigDict


class FailureDetails(BaseModel):
    """Where an attempt failed, without secrets. None means not known. Stores keep it as one JSON text.

    `node` is the innermost node of the graph, or the function agent. `where` is the file, line and function that
    raised, in the user's own code if the error came through it. `traceback` has the most recent call last.
    """

    model_config = ConfigDict(frozen=True)

    node: str | None = None
    error_type: str | None = None
    where: str | None = None
    traceback: str | None = None
