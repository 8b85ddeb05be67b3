"""Finds the runs of threads, and tells how clients see them."""

from urllib.parse import quote

from ...access.principals import Principal
from ...errors import MessageNotFound, NotFound
from ...models.messages import MessageState
from ...services import Services
from .. import runs
from ..runs import Run
from .ids import require_uuid

STATUSES = {
    MessageState.QUEUED: "pending",
    MessageState.PROCESSING: "running",
    MessageState.COMPLETED: "success",
    MessageState.FAILED: "error",
    MessageState.CANCELLED: "interrupted",
    MessageState.INTERRUPTED: "success",
}
"""The statuses of runs by the states of their messages. A run that asks a human has ended."""


class RunNotFound(NotFound):
    """The thread has no such run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run with the id {run_id!r} in this thread.")


def status_of(run: Run) -> str:
    """Return the status of a run in the words of LangGraph's clients."""
    return "success" if run.is_answered else STATUSES[run.message.state]


def path_of(run: Run) -> str:
    """Return the path of a run below the mount. Clients put the address of the mount in front of it."""
    return f"/threads/{quote(run.thread_id, safe='')}/runs/{quote(run.id, safe='')}"


async def find_run(services: Services, caller: Principal, thread_id: str, run_id: str) -> Run:
    """Return a run of a thread. Raises RunNotFound, and InvalidRequest for an unknown id that is no UUID."""
    try:
        run = await runs.find_run(services, caller, run_id)
    except MessageNotFound:
        require_uuid(run_id, "run_id", "A list of the runs of a thread has their ids.")
        raise RunNotFound(run_id) from None
    if thread_id != run.thread_id:
        raise RunNotFound(run_id)
    return run
