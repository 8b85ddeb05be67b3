"""Accepting messages, and the keys of requests."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from ...errors import KeyReused, QueueFull, ThreadBusy
from ...models.attempts import Cancelled
from ...models.messages import Accepted, IfBusy, NewMessage, Readiness, RequestKey
from ..parts import CLEARED_AT_ONCE, ThreadKey
from ..ports import KEY_SECONDS, MOVED, READY
from ..reads import LEVEL, NEAR_END
from ..rows import Receipt, accepted, events_text, options_of, preview, run_at_of
from .changes import Changes


class Accepting(Changes):
    """See `AcceptStore.add`."""

    def add(
        self,
        new: Sequence[NewMessage],
        max_queued: int,
        key: RequestKey | None,
        cleared: Mapping[ThreadKey, Sequence[str]] | None = None,
    ) -> Accepted:
        """See `AcceptStore.add`; `cleared` has what `clear` has cancelled for these messages."""
        now = self._now()
        if key is not None and (known := self._receipts_of(key, now)) is not None:
            return Accepted([accepted(each, receipt) for each, receipt in zip(new, known, strict=True)], replayed=True)
        if self.execute("count_queued").get + len(new) > max_queued:
            raise QueueFull(max_queued)
        gone = dict(cleared or {})
        receipts = [self._add(each, now, gone) for each in new]
        if len(receipts) == 1:
            receipts = [receipts[0]._replace(position=self._position(new[0], receipts[0]))]
        elif receipts:
            positions = self._positions([each.number for each in receipts])
            receipts = [each._replace(position=positions.get(each.number)) for each in receipts]
        if key is not None:
            self._keep_key(key, receipts, now)
        return Accepted([accepted(each, receipt) for each, receipt in zip(new, receipts, strict=True)], replayed=False)

    def _add(self, new: NewMessage, now: int, cleared: dict[ThreadKey, Sequence[str]]) -> Receipt:
        rollback: list[str] = []
        thread_number, busy = 0, False
        if new.thread_id is not None:
            if new.if_busy is not IfBusy.ENQUEUE:
                rollback = self._make_way(new, now, cleared.pop((new.tenant, new.thread_id), ()))
            thread_number, busy = self.rows(
                "extend_thread",
                tenant=new.tenant,
                thread_id=new.thread_id,
                count=1,
                now=now,
                preview=preview(new.content),
            )[0]
        base_rank = self._ranks.rank(new.priority.level, now)
        run_at = run_at_of(new, self._clock, now)
        readiness = Readiness.BLOCKED if busy else Readiness.DELAYED if run_at > now else Readiness.READY
        number: int = self.execute(
            "add_message",
            id=new.id,
            tenant=new.tenant,
            thread_id=new.thread_id,
            agent=new.agent,
            content=new.content,
            priority=new.priority,
            thread_number=thread_number,
            base_rank=base_rank,
            readiness=readiness,
            run_at=run_at,
            options=options_of(new),
            rollback=json.dumps(rollback) if rollback else None,
            webhook_url=new.webhook_url,
            webhook_events=events_text(new),
            now=now,
        ).get
        if busy:
            self._lift(new.tenant, new.thread_id or "", thread_number, base_rank)
        self.touched |= {MOVED, READY} if readiness is Readiness.READY else {MOVED}
        return Receipt(new.id, number, thread_number, now, readiness, run_at, None, rollback)

    def clear(
        self, threads: Sequence[ThreadKey], count: int, max_queued: int, key: RequestKey | None
    ) -> dict[ThreadKey, list[tuple[int, str]]]:
        """Cancel the last waiting messages of a thread that has many, before so many messages are added to these.

        Empty when no thread has many, or when the messages will not be stored.
        """
        now = self._now()
        if key is not None and self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_SECONDS * 1000):
            return {}
        if self.execute("count_queued").get + count > max_queued:
            return {}
        for tenant, thread_id in threads:
            tail = self.rows("list_tail", tenant=tenant, thread_id=thread_id, limit=2 * CLEARED_AT_ONCE)
            if len(tail) == 2 * CLEARED_AT_ONCE:
                for number, _, _ in tail[:CLEARED_AT_ONCE]:
                    self._end(number, Cancelled(), now, fence_step=1, was_head=False)
                return {(tenant, thread_id): [(number, message_id) for _, message_id, number in tail[:CLEARED_AT_ONCE]]}
        return {}

    def _make_way(self, new: NewMessage, now: int, cleared: Sequence[str]) -> list[str]:
        """Do with the unfinished messages of the thread as the new one says; the ids to be forgotten."""
        numbers = self.rows("list_unfinished", tenant=new.tenant, thread_id=new.thread_id)
        if numbers and new.if_busy is IfBusy.REJECT:
            raise ThreadBusy(new.thread_id or "")
        # The last first, so that none of them becomes ready meanwhile.
        for (number,) in reversed(numbers):
            self._cancel(self._by_number(number), now, running=True)
        if new.if_busy is not IfBusy.ROLLBACK:
            return []
        return [*(self._by_number(number).id for (number,) in numbers), *cleared]

    def _position(self, new: NewMessage, receipt: Receipt) -> int | None:
        """Of the newest message, whose rank is still its own."""
        if receipt.readiness == Readiness.DELAYED:
            return None
        return self.count_before(receipt.number, self._ranks.rank(new.priority.level, receipt.created_at))

    def _positions(self, numbers: Sequence[int]) -> dict[int, int]:
        """Of the newest messages, which those behind them may have lifted or cancelled.

        They are the end of their level, so that is looked at once.
        """
        ranks = self.rows("find_ranks", first=numbers[0], last=numbers[-1])
        levels: dict[int, list[tuple[int, int]]] = {}
        for number, rank in ranks:
            if rank is not None:
                levels.setdefault(rank // LEVEL, []).append((rank, number))
        found = {}
        for places in levels.values():
            rank, number = min(places)
            before, waiting = self.rows("count_levels", rank=rank)[0]
            most = NEAR_END + len(numbers)
            end = self.rows("places_from", rank=rank, number=number, most=most)
            first = before + waiting - len(end)
            for place in places:
                found[place[1]] = (
                    first + bisect_left(end, place) if len(end) < most else self.count_before(place[1], place[0])
                )
        return found

    def _receipts_of(self, key: RequestKey, now: int) -> list[Receipt] | None:
        """What was answered to an earlier request with this key; None without one. Raises KeyReused."""
        found = self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_SECONDS * 1000)
        if found is None:
            return None
        fingerprint, receipts = found
        if fingerprint != key.fingerprint:
            raise KeyReused
        return [Receipt(*fields) for fields in json.loads(receipts)]

    def _keep_key(self, key: RequestKey, receipts: Sequence[Receipt], now: int) -> None:
        self.execute("keep_key", **key._asdict(), receipts=json.dumps(receipts), now=now)

    def prune_keys(self) -> None:
        """See `UpkeepStore.prune_keys`."""
        self.execute("prune_keys", before=self._now() - KEY_SECONDS * 1000)
