"""Changes messages that are already accepted, and the queue."""

from collections.abc import Sequence
from typing import Protocol

from ...models.audit import NewAudit
from ...models.messages import Accepted, Message, Priority, RequestKey


class ControlStore(Protocol):
    """Changes accepted messages, for callers and operators."""

    async def cancel(
        self,
        tenant: str,
        message_id: str,
        *,
        running: bool = False,
        asks: bool = False,
        audit: NewAudit | None = None,
    ) -> Message:
        """Cancel a queued message; the next message of its thread moves up. Raises MessageNotFound, NotCancellable.

        With `running`, the message may also be interrupted or processing. An interrupted message is cancelled at once.
        A processing message is marked, and ends as cancelled whatever its outcome. Its worker learns of the cancel with
        the next heartbeat, and subscribers of CANCELS are hinted. A second cancel changes nothing
        (tests/contract/test_cancel.py).

        With `asks`, only an interrupted message is cancelled. One whose question was answered goes on.
        """

    async def reprioritize(
        self, tenant: str, message_id: str, priority: Priority, *, audit: NewAudit | None = None
    ) -> Message:
        """Give a queued message another priority, and the rank it would have had with this priority from the start.

        Settles its thread. Raises MessageNotFound, NotQueued.
        """

    async def resume(
        self,
        tenant: str,
        message_id: str,
        fence: int,
        value: str,
        *,
        key: RequestKey | None = None,
        alias: str | None = None,
        audit: NewAudit | None = None,
    ) -> Accepted:
        """Answer an interrupted message: queue it again as the head of its thread, with `value` as its `resume_value`.

        `fence` is the fence of the message as the caller read it. If the message has another fence by now, the answer
        is refused. Only the first of several answers is accepted. The attempt that asked does not count towards the
        limit of attempts. The event `resumed` is appended. `key` works as in `add`, but a replay returns the message as
        it is now, without a position.

        `alias` becomes a further id of the message. A reader who uses it sees the log from the event `resumed` on. An
        alias that already names the message keeps its first event. Raises MessageNotFound, NotInterrupted, KeyReused,
        AliasTaken.
        """

    async def requeue(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[Message]:
        """Put failed messages back into the queue, each at the end of its thread; all of them or none.

        They go back in the order of their numbers, so messages of one thread keep their order. Returns the messages in
        the order of `message_ids`.

        Each message gets a new number, thread number and rank, as if it were accepted now. Its attempts, crashes and
        failure are reset, but its failed attempts stay listed. Its log goes on with the event `retry`. Earlier events
        are deleted, as by `prune_logs`, and their ids are not used again. Raises MessageNotFound, NotFailed.
        """

    async def purge(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[str]:
        """Delete failed messages, all of them or none. Return the memory keys that are no longer needed.

        Raises MessageNotFound, NotFailed.
        """

    async def pause(self, paused: bool, *, audit: NewAudit | None = None) -> None:
        """Pause the queue or continue it. While paused, `claim` returns nothing; running attempts and `add` go on."""

    async def drain_worker(self, worker_id: str, *, draining: bool, audit: NewAudit | None = None) -> None:
        """Ask a worker to drain, or to claim messages again. The answers to its heartbeats tell it.

        The worker is `draining` until a heartbeat of it says that it is drained. Subscribers of WORKERS are hinted. A
        second call changes nothing. Raises WorkerNotFound (tests/contract/test_drained_workers.py).
        """
