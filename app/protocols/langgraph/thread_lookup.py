"""Finds threads by the ids that clients give."""

from ...access.principals import Principal
from ...errors import ThreadNotFound
from ...models.messages import Thread
from ...services import Services
from .ids import require_uuid


async def find_thread(services: Services, caller: Principal, thread_id: str) -> Thread:
    """Return a thread. Raises ThreadNotFound, or InvalidRequest for an id that no thread has and that is no UUID.

    Threads that were made elsewhere may have any id.
    """
    try:
        return await services.threads.get_thread(caller, thread_id)
    except ThreadNotFound:
        require_uuid(thread_id, "thread_id", "Other ids are those of threads that another API of this server has made.")
        raise
