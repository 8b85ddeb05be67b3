"""Accepts messages."""

import json
from collections.abc import Awaitable, Mapping, Sequence

from typing_extensions import override

from ...errors import AliasTaken, ThreadBusy, ThreadNotFound
from ...errors.threads import ThreadMoved, ThreadNotReady
from ...models.messages import Accepted, IfBusy, NewMessage, Readiness, RequestKey
from ..metadata import metadata_text, thread_patch
from ..parts import AcceptRules, ThreadKey, aliases_of, only_waits_for_human
from ..ports import MOVED, READY
from ..rows import Receipt, accepted, events_text, options_of, preview, run_at_of, to_message
from ..sql.accept import SqlAccept
from ..sql.group_commit import GroupCommitThread
from .keys import Keyed


class AcceptWrites(Keyed):
    """Adds messages, inside a transaction."""

    def add(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        key: RequestKey | None,
        cleared: Mapping[ThreadKey, Sequence[str]],
    ) -> Accepted:
        """Implement `AcceptStore.add`. `cleared` has the ids that `clear` returned, by thread."""
        now = self._now()
        if key is not None and (known := self._receipts_of(key, now)) is not None:
            return Accepted([accepted(each, receipt) for each, receipt in zip(new, known, strict=True)], replayed=True)
        if (full := self.refusal(rules, new)) is not None:
            raise full
        aliases = aliases_of(new)
        if aliases and (taken := self._taken_alias(aliases)) is not None:
            raise AliasTaken(taken)
        remaining = dict(cleared)
        cancelled: list[str] = []
        receipts = [self._add(each, now, rules, remaining, cancelled) for each in new]
        if len(receipts) == 1:
            receipts = [receipts[0]._replace(position=self._position(new[0], receipts[0]))]
        elif receipts:  # later messages of `new` may have lifted or cancelled them
            numbers = [each.number for each in receipts]
            ranks = dict(self.rows("find_ranks", first=numbers[0], last=numbers[-1]))
            positions = self.newest_positions([(ranks.get(number), number) for number in numbers])
            receipts = [each._replace(position=place) for each, place in zip(receipts, positions, strict=True)]
        if aliases:
            self._keep_aliases(aliases, first_event=0)
        if key is not None:
            self._keep_answer(key, receipts, now)
        self.record_cancels(rules.audit, cancelled)
        return Accepted([accepted(each, receipt) for each, receipt in zip(new, receipts, strict=True)], replayed=False)

    def _add(
        self,
        new: NewMessage,
        now: int,
        rules: AcceptRules,
        cleared: dict[ThreadKey, Sequence[str]],
        cancelled: list[str],
    ) -> Receipt:
        """Add a message. Appends the ids of messages that it cancels to `cancelled`."""
        rollback: list[str] = []
        thread_number, busy, subject = 0, False, new.subject
        if new.thread_id is not None:
            if self.is_foreign(new):
                raise ThreadNotFound(new.thread_id)
            if new.if_busy is not IfBusy.ENQUEUE:
                unfinished = self._cancel_unfinished(new, now, rules, cancelled)
                ended = [*unfinished, *cleared.pop((new.tenant, new.thread_id), ())]
                rollback = list(dict.fromkeys((*new.rollback, *(ended if new.if_busy is IfBusy.ROLLBACK else ()))))
            thread_number, busy, subject = self._extend_thread(new, new.thread_id, now)
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
            webhook_key=new.webhook_key,
            webhook_events=events_text(new),
            metadata=metadata_text(new.metadata),
            subject=subject,
            key_id=new.key_id,
            trace=new.trace,
            now=now,
        ).get
        if busy:
            self._lift(new.tenant, new.thread_id or "", thread_number, base_rank)
        self.touched |= {MOVED, READY} if readiness is Readiness.READY else {MOVED}
        return Receipt(new.id, number, thread_number, now, readiness, run_at, None, rollback, subject)

    def _extend_thread(self, new: NewMessage, thread_id: str, now: int) -> tuple[int, bool, str | None]:
        """Take the next number of a thread. Return it, whether the thread is busy, and its subject.

        Raises ThreadNotReady, ThreadMoved.
        """
        extended = self.row(
            "extend_thread",
            tenant=new.tenant,
            thread_id=thread_id,
            count=1,
            now=now,
            preview=preview(new.content),
            subject=new.subject,
            name=new.thread_name,
            metadata=thread_patch((new,)),
        )
        if extended is None:
            raise ThreadNotReady(thread_id)
        thread_number, busy, subject = extended
        if new.last_number is not None and thread_number != new.last_number + 1:
            raise ThreadMoved(thread_id)
        return thread_number, busy, subject

    def _cancel_unfinished(self, new: NewMessage, now: int, rules: AcceptRules, cancelled: list[str]) -> list[str]:
        """Cancel the unfinished messages of the new message's thread, or raise ThreadBusy, as `if_busy` says.

        Return the ids of all of them, oldest first. `cancelled` gets those that were not cancelled before.
        """
        numbers = self.rows("list_unfinished", tenant=new.tenant, thread_id=new.thread_id)
        unfinished = [to_message(self.rows("get_without_options", number=number)[0]) for (number,) in numbers]
        if new.if_busy is IfBusy.REJECT and unfinished and not only_waits_for_human(unfinished):
            raise ThreadBusy(new.thread_id or "")
        if not all(rules.may_cancel(message.agent) for message in unfinished):
            raise ThreadBusy(new.thread_id or "")
        cancelled += [message.id for message in unfinished if not message.cancel_requested]
        # From the last to the first, so that no message becomes ready in between.
        for message in reversed(unfinished):
            self._cancel(message, now, running=True)
        return [message.id for message in unfinished]

    def _position(self, new: NewMessage, receipt: Receipt) -> int | None:
        """Return the position of the newest message. No message is behind it, so it inherits no rank."""
        if receipt.readiness == Readiness.DELAYED:
            return None
        return self.count_before(receipt.number, self._ranks.rank(new.priority.level, receipt.created_at))


class SqliteAccept(SqlAccept):
    """Adds messages on the writing thread."""

    _write_thread: GroupCommitThread
    _accept: AcceptWrites

    @override
    def _add(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        key: RequestKey | None,
        cleared: Mapping[ThreadKey, Sequence[str]],
    ) -> Awaitable[Accepted]:
        return self._write_thread.run(lambda: self._accept.add(new, rules, key, cleared))
