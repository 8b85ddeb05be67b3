"""Changes threads as a whole."""

import json

from typing_extensions import override

from ...errors import ThreadNotFound
from ...errors.threads import ThreadExists, ThreadMoved, ThreadNotReady, ThreadRunning
from ...models.messages import CreatedThread, MessageState, RequestKey, Thread
from ...models.threads import MemoryRight, NewThread, ThreadChange
from ..erasures import refused_fork, refused_thread
from ..metadata import merged_metadata
from ..ports import MOVED, message_topic
from ..sql.threads import ThreadChanges
from .control import UNFINISHED
from .keys import KEY_MS, Keyed, check_fingerprint, name_of
from .session import Rows, Step, step


class ThreadWrites(Keyed, ThreadChanges):
    """Implements `ThreadStore`. Each method runs in a transaction of its own."""

    @override
    def take_memory_right(self, tenant: str, thread_id: str) -> MemoryRight:
        thread = {"tenant": tenant, "thread_id": thread_id}
        with self.transaction(_lock(tenant, thread_id), step("find_head", **thread)) as (_, (locked, heads)):
            _found(locked, thread_id)
            if not heads:  # a number above those of earlier messages; the thread's later ones get higher numbers
                return MemoryRight((int(self.value("next_numbers", count=1)), 0))
            ((number, fence, state, rollback),) = heads
            if state == MessageState.PROCESSING:
                raise ThreadRunning(thread_id)
            return MemoryRight((number, fence), tuple(json.loads(rollback or "[]")))

    @override
    def change_thread(self, tenant: str, thread_id: str, change: ThreadChange) -> Thread:
        with self.transaction(_lock(tenant, thread_id)) as (_, (locked,)):
            stored = _found(locked, thread_id)
            self.rows(
                "change_thread", tenant=tenant, thread_id=thread_id, renames=bool(change.names),
                name=change.names[0] if change.names else None, metadata=merged_metadata(stored, change.metadata),
                sets_ttl=bool(change.ttls), ttl_ms=change.ttl_ms,
            )  # fmt: skip
            return self.thread(tenant, thread_id)

    @override
    def delete_thread(self, tenant: str, thread_id: str, last_number: int | None) -> None:
        messages = step("lock_thread_messages", tenant=tenant, thread_id=thread_id)
        with self.transaction(_lock(tenant, thread_id), messages) as (now, (locked, rows)):
            _found(locked, thread_id)
            if last_number not in (None, locked[0][1]):
                raise ThreadMoved(thread_id)
            self._delete_locked(tenant, thread_id, rows, now)

    def _delete_locked(self, tenant: str, thread_id: str, rows: Rows, now: int) -> None:
        """Delete a locked thread with its messages, which are the rows of `lock_thread_messages`."""
        thread = {"tenant": tenant, "thread_id": thread_id}
        if any(state == MessageState.PROCESSING for *_, state in rows):
            raise ThreadRunning(thread_id)
        unfinished = [(number, message_id) for number, message_id, state in rows if state in UNFINISHED]
        self.session.run_all(
            step("cancel_thread", numbers=[number for number, _ in unfinished], now=now),
            step("note_deleted", **thread, now=now, after=now - KEY_MS),
            step("delete_messages", numbers=[number for number, *_ in rows]),
            step("hide_threads", tenant=tenant, thread_ids=[thread_id], now=now),
        )
        self.touched |= {MOVED, *(message_topic(message_id) for _, message_id in unfinished)}

    @override
    def expire_threads(self, default_ms: int | None, limit: int) -> int:
        with self.transaction() as (now, _):
            found = self.rows("find_expired_threads", now=now, default_ttl=default_ms, limit=limit)
            self.session.discard()
        return sum(self._expire(tenant, thread_id, default_ms) for tenant, thread_id in found)

    def _expire(self, tenant: str, thread_id: str, default_ms: int | None) -> bool:
        """Delete a thread in a transaction of its own. Return False if it was used or changed meanwhile."""
        thread = {"tenant": tenant, "thread_id": thread_id}
        with self.transaction() as (now, _):
            if not self.rows("lock_expired_thread", **thread, default_ttl=default_ms, now=now):
                self.session.discard()
                return False
            self._delete_locked(tenant, thread_id, self.rows("lock_thread_messages", **thread), now)
        return True

    @override
    def create_thread(
        self, tenant: str, thread_id: str, new: NewThread, keeps_existing: bool, key: RequestKey | None
    ) -> CreatedThread:
        with self.transaction() as (now, _):
            if key is not None and (known := self.enter_keys([key], now).get(name_of(key))) is not None:
                check_fingerprint(key, known)
                self.session.discard()
                known_id, is_new = json.loads(known.receipts)
                return CreatedThread(self.thread(tenant, known_id), is_new, replayed=True)
            refusal = refused_thread(tenant, new.subject, thread_id, self.rows("running_erasures"))
            if refusal is not None:
                raise refusal
            made = self.rows(
                "create_thread", tenant=tenant, thread_id=thread_id, name=new.name, now=now, subject=new.subject,
                metadata=merged_metadata(None, new.metadata), ttl_ms=new.ttl_ms,
            )  # fmt: skip
            if not made:
                if self.row("find_subject", tenant=tenant, thread_id=thread_id) is None:
                    raise ThreadNotReady(thread_id)
                if not keeps_existing:
                    raise ThreadExists(thread_id)
            if key is not None:
                self.keep_receipts({name_of(key): json.dumps([thread_id, bool(made)])})
            return CreatedThread(self.thread(tenant, thread_id), bool(made))

    @override
    def draft_thread(self, tenant: str, thread_id: str) -> None:
        with self.transaction() as (now, _):
            if not self.rows("draft_thread", tenant=tenant, thread_id=thread_id, now=now):
                raise ThreadExists(thread_id)

    @override
    def publish_thread(self, tenant: str, thread_id: str, new: NewThread) -> Thread:
        with self.transaction() as (now, _):
            if (refusal := refused_fork(tenant, new, self.rows("running_erasures"))) is not None:
                raise refusal
            published = self.rows(
                "publish_thread", tenant=tenant, thread_id=thread_id, name=new.name, now=now,
                metadata=merged_metadata(None, new.metadata), forked_from=new.source_json,
                subject=new.subject,
            )  # fmt: skip
            if not published:
                raise ThreadNotFound(thread_id)
            return self.thread(tenant, thread_id)

    @override
    def abandon_thread(self, tenant: str, thread_id: str) -> None:
        with self.transaction():
            self.rows("abandon_draft", tenant=tenant, thread_id=thread_id)


def _lock(tenant: str, thread_id: str) -> Step:
    return step("lock_visible_thread", tenant=tenant, thread_id=thread_id)


def _found(locked: Rows, thread_id: str) -> str | None:
    """Return the metadata of the locked thread. Raises ThreadNotFound."""
    if not locked:
        raise ThreadNotFound(thread_id)
    metadata: str | None = locked[0][0]
    return metadata
