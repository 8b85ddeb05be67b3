"""Changes threads as a whole."""

import json

from typing_extensions import override

from ...errors import ThreadNotFound
from ...errors.threads import ThreadExists, ThreadMoved, ThreadNotReady, ThreadRunning
from ...models.memory import DroppedMemory
from ...models.messages import CreatedThread, MessageState, RequestKey, Thread
from ...models.threads import MemoryRight, NewThread, ThreadChange
from ..erasures import refused_fork, refused_thread
from ..limits import KEY_SECONDS
from ..metadata import merged_metadata
from ..ports import MOVED, message_topic
from ..sql.threads import ThreadChanges
from .keys import Keyed


class ThreadWrites(Keyed, ThreadChanges):
    """Implements `ThreadStore`, inside a transaction."""

    @override
    def take_memory_right(self, tenant: str, thread_id: str) -> MemoryRight:
        self.thread(tenant, thread_id)
        head = self.row("find_head", tenant=tenant, thread_id=thread_id)
        if head is None:  # a number above those of earlier messages; the thread's later ones get higher numbers
            return MemoryRight((self.execute("next_numbers", count=1).get, 0))
        number, fence, state, rollback = head
        if state == MessageState.PROCESSING:
            raise ThreadRunning(thread_id)
        return MemoryRight((number, fence), tuple(json.loads(rollback or "[]")))

    @override
    def change_thread(self, tenant: str, thread_id: str, change: ThreadChange) -> Thread:
        thread = {"tenant": tenant, "thread_id": thread_id}
        stored = self.row("find_thread_metadata", **thread)
        if stored is None:
            raise ThreadNotFound(thread_id)
        self.execute(
            "change_thread", **thread, renames=bool(change.names), name=change.names[0] if change.names else None,
            metadata=merged_metadata(stored[0], change.metadata), sets_ttl=bool(change.ttls), ttl_ms=change.ttl_ms,
        )  # fmt: skip
        return self.thread(tenant, thread_id)

    @override
    def delete_thread(self, tenant: str, thread_id: str, last_number: int | None) -> None:
        thread = {"tenant": tenant, "thread_id": thread_id}
        found = self.thread(tenant, thread_id)
        if last_number not in (None, found.last_number):
            raise ThreadMoved(thread_id)
        if found.states[MessageState.PROCESSING]:
            raise ThreadRunning(thread_id)
        numbers = json.dumps([number for (number,) in self.rows("list_unfinished", **thread)])
        now = self._now()
        cancelled = self.rows("cancel_thread", numbers=numbers, now=now)
        self._freed[tenant] += len(cancelled)
        self.execute("note_deleted", **thread, now=now, after=now - KEY_SECONDS * 1000)
        self.execute("delete_thread_messages", **thread)
        self.execute("hide_thread", **thread)
        self.execute("record_thread", **thread, now=now)
        self._drop_memories([DroppedMemory(tenant, thread_id, "")])
        self.touched |= {MOVED, *(message_topic(message_id) for (message_id,) in cancelled)}

    @override
    def expire_threads(self, default_ms: int | None, limit: int) -> int:
        found = self.rows("find_expired_threads", now=self._now(), default_ttl=default_ms, limit=limit)
        for tenant, thread_id in found:
            self.delete_thread(tenant, thread_id, None)
        return len(found)

    @override
    def create_thread(
        self, tenant: str, thread_id: str, new: NewThread, keeps_existing: bool, key: RequestKey | None
    ) -> CreatedThread:
        now = self._now()
        if key is not None and (known := self._answer_to(key, now)) is not None:
            self._changes_nothing = True
            known_id, is_new = known
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
            self._keep_answer(key, [thread_id, bool(made)], now)
        return CreatedThread(self.thread(tenant, thread_id), bool(made))

    @override
    def draft_thread(self, tenant: str, thread_id: str) -> None:
        if not self.rows("draft_thread", tenant=tenant, thread_id=thread_id, now=self._now()):
            raise ThreadExists(thread_id)

    @override
    def publish_thread(self, tenant: str, thread_id: str, new: NewThread) -> Thread:
        if (refusal := refused_fork(tenant, new, self.rows("running_erasures"))) is not None:
            raise refusal
        published = self.rows(
            "publish_thread", tenant=tenant, thread_id=thread_id, name=new.name, now=self._now(),
            metadata=merged_metadata(None, new.metadata), forked_from=new.source_json,
            subject=new.subject,
        )  # fmt: skip
        if not published:
            raise ThreadNotFound(thread_id)
        return self.thread(tenant, thread_id)

    @override
    def abandon_thread(self, tenant: str, thread_id: str) -> None:
        if self.rows("abandon_draft", tenant=tenant, thread_id=thread_id):
            self._drop_memories([DroppedMemory(tenant, thread_id, "")])
