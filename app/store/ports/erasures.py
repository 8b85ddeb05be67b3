"""Erasures of all that belongs to a thread, a subject or a tenant."""

from collections.abc import Sequence
from typing import Protocol

from ...models.audit import NewAudit
from ...models.erasures import Erasure, NewErasure


class ErasureStore(Protocol):
    """Keeps erasures, and removes what they name (tests/contract/test_erasures.py).

    From `begin_erasure` to `end_erasure`, `AcceptStore.add` and `ThreadStore.create_thread` raise ErasureInProgress for
    what the erasure would remove. Each method removes a limited number of rows in one transaction, and adds to the
    counts of the erasure in the same transaction. Several processes may work on the same erasure.

    Where all writers wait for one lock, a part that takes longer than `app.store.parts.PART_SECONDS` ends before all
    of its rows are removed. It removes some in any case.
    """

    async def begin_erasure(self, new: NewErasure, *, audit: NewAudit | None = None) -> Erasure:
        """Store an erasure. If one with the same target is running, return that one and store nothing."""

    async def get_erasure(self, tenant: str | None, erasure_id: str) -> Erasure | None:
        """Return an erasure. None if there is none, or if it is another tenant's; `tenant` None means any tenant."""

    async def list_erasures(self, tenant: str | None, *, limit: int) -> list[Erasure]:
        """Return up to `limit` erasures, newest first. `tenant` None means those of all tenants."""

    async def claim_erasure(self, *, lease_seconds: float) -> Erasure | None:
        """Return a running erasure that no process works on, the oldest first. No call returns it for `lease_seconds`.

        A lease of 0 seconds does not keep it from others.
        """

    async def release_erasure(self, erasure_id: str) -> None:
        """Let any process claim a running erasure again."""

    async def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        """Cancel messages as `ControlStore.cancel` does with `running`. Return how many of `message_ids` are done.

        The first ones are done, and those that follow are left as they are. Messages that have ended, and another
        tenant's, are done too. Ranks that others of a thread inherited stay, since all of a thread is erased.
        """

    async def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        """Delete messages that have ended, with their logs, attempts, deliveries, aliases and usage. Return how many.

        Messages that have not ended, or that are another tenant's, stay. The memory of a message without a thread is
        listed as dropped.
        """

    async def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        """Delete threads as `ThreadStore.delete_thread` does. Return how many.

        Threads with a processing message stay, and so do unknown ones.
        """

    async def erase_rows(self, erasure: Erasure, *, limit: int) -> bool:
        """Delete up to about `limit` items, usage rows, figures, request keys and API keys each.

        Return whether more may be left.
        """

    async def erase_names(self, erasure: Erasure, after: str, *, limit: int) -> str | None:
        """Replace names of erased objects in one part of the audit log, of the changes and of the request keys.

        `after` is '' for the first part, and then what the last call returned. Returns None behind the last part. The
        records stay in their place; each name becomes ERASED. Records that come after the first part of their kind may
        be left out, so that this ends however many others write.
        """

    async def left_to_erase(self, erasure: Erasure) -> bool:
        """Return whether messages, threads, logs or memories of the target are left.

        What agents remember is left until `UpkeepStore.settle_dropped_memories`. Call this before `erase_names`, which
        forgets by which names the memories are found.
        """

    async def end_erasure(self, erasure: Erasure) -> bool:
        """Complete an erasure and forget its target's name. Return False if messages or threads have come since."""
