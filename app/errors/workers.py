"""The errors of requests about workers."""

from . import NotFound


class WorkerNotFound(NotFound):
    """There is no live worker with this id."""

    code = "worker_not_found"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"There is no live worker with the id {worker_id!r}.")
