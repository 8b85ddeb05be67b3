"""Makes held messages ready again, when their tenants may run more messages.

A claim counts the running messages of a tenant under a lock of the tenant. Releases need no lock: a message that is
released too early is held back again. They run after the commit of what freed the room, and claims look once more after
the commit in which they held messages back. Whichever of the two commits last sees the other.
"""

from collections.abc import Mapping, Sequence

from ..limits import RELEASED_AT_ONCE
from ..ports import MOVED, READY
from .session import Session, step


def release(session: Session, counts: Mapping[str, int]) -> Mapping[str, int]:
    """Release up to so many messages of each tenant, of each agent and version. Return how many were released."""
    given = {tenant: count for tenant, count in counts.items() if count > 0}
    if not given:
        return {}
    rows = session.rows("release_held", tenants=list(given), counts=list(given.values()))
    if rows:
        session.touched |= {READY, MOVED}
    return dict(rows)


def release_room(session: Session, tenants: Sequence[str]) -> bool:
    """Release messages of tenants as far as they may run more. Return whether messages are left to release.

    Only tenants without a limit have messages left, since the others get as many as they may run.
    """
    room: dict[str, int] = dict(session.rows("find_room", tenants=list(tenants), running=session.running))
    counts = {tenant: min(room.get(tenant, RELEASED_AT_ONCE), RELEASED_AT_ONCE) for tenant in tenants}
    released = release(session, counts)
    return any(tenant not in room and count >= RELEASED_AT_ONCE for tenant, count in released.items())


def find_room(session: Session, tenants: Sequence[str], *, waiting: bool) -> dict[str, int]:
    """Lock tenants until the end of the transaction, and return how many more messages each may run.

    Not `waiting`, it leaves out tenants that another claim has locked. Tenants are locked after messages, which claims
    lock without waiting: nobody who waits for a tenant has a lock that its holder waits for.
    """
    if not waiting:
        tenants = [tenant for (tenant,) in session.rows("try_to_lock_running", tenants=list(tenants))]
        if not tenants:
            return {}
        return dict(session.rows("find_room", tenants=tenants, running=session.running))
    _, rows = session.run_all(
        step("lock_running", tenants=list(tenants)), step("find_room", tenants=list(tenants), running=session.running)
    )
    return dict(rows)
