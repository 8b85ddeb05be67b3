"""Cancels runs, with or without the steps that they have done."""

from collections.abc import Sequence
from typing import Literal

from ...access.principals import Principal
from ...errors import MessageNotFound, NotCancellable, NotFound
from ...models.audit import Actor
from ...models.messages import MessageState
from ...services import Services
from ..runs import Run

CancelAction = Literal["interrupt", "rollback"]

STOP_SECONDS = 60.0
"""How long a rollback waits for a run to stop."""


class NothingToCancel(NotFound):
    """All of the runs have ended. LangGraph's server answers this like a missing run."""

    def __init__(self) -> None:
        super().__init__("There is no such run, or it has ended already, so there is nothing to cancel.")


async def cancel_runs(
    services: Services, caller: Principal, runs: Sequence[Run], action: CancelAction, *, by: Actor
) -> None:
    """Cancel the unfinished of these runs. Raises NothingToCancel if there is none.

    With `rollback`, wait until they have stopped, and have the agent forget their steps. A run that was cancelled
    before is rolled back too if its thread has no later one: an earlier request may have been cut off in between.
    Raises ThreadRunning if a run does not stop in time, or another one has begun.
    """
    chosen = [run for run in runs if await _cancel(services, caller, run, by)]
    if action == "rollback":
        chosen += [run for run in runs if run not in chosen and await _was_cancelled_last(services, caller, run)]
    if not chosen:
        raise NothingToCancel
    if action == "rollback":
        for run in chosen:
            await services.streams.await_end(caller.tenant, run.message.id, STOP_SECONDS)
            await services.threads.roll_back(caller, run.message.id, by)


async def _was_cancelled_last(services: Services, caller: Principal, run: Run) -> bool:
    """Return whether a run has ended as cancelled and is the last one of its thread."""
    if run.is_answered:
        return False
    try:
        message = await services.queue.get(caller, run.message.id)
        thread = await services.threads.get_thread(caller, run.thread_id)
    except NotFound:  # deleted, or without a thread
        return False
    return message.state is MessageState.CANCELLED and thread.last_number == message.thread_number


async def _cancel(services: Services, caller: Principal, run: Run, by: Actor) -> bool:
    """Cancel a run. Return False if it has ended."""
    if run.is_answered:
        return False
    try:
        await services.queue.cancel(caller, run.message.id, running=True, by=by)
    except (MessageNotFound, NotCancellable):
        return False
    return True
