"""Removes what erasures name."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import attrgetter

from typing_extensions import override

from ...errors import ThreadNotFound
from ...errors.threads import ThreadRunning
from ...models.erasures import Erasure, ErasureKind, NewErasure
from ...models.memory import DroppedMemory
from ...policy.lifecycle import TERMINAL
from ..erasures import ROWS, added_counts, item_range, naming, target_names, to_erasure
from ..limits import KEY_SECONDS
from ..parts import within_part
from ..ports import ACCESS, CHANGED, message_topic
from ..sql.erasures import NAME_STAGES, ErasureChanges, NamePlace
from .threads import ThreadWrites

MESSAGES_AT_ONCE = 10
"""Number of messages that a statement of a part removes."""

ROWS_AT_ONCE = 50
"""Number of other rows that a statement of a part removes or reads."""


class ErasureWrites(ThreadWrites, ErasureChanges):
    """Implements `ErasureStore`, inside a transaction."""

    @override
    def begin_erasure(self, new: NewErasure) -> Erasure:
        target = new.target._asdict()
        row = self.row("begin_erasure", id=new.id, **target, actor=new.actor, now=self._now())
        if row is None:
            self._changes_nothing = True
            row = self.row("same_erasure", **target)
            assert row is not None, "the index refused a second one"
        else:
            self._add_names(new.id, target_names(new.target))
        return to_erasure(row)

    @override
    def claim_erasure(self, lease_ms: int) -> Erasure | None:
        now = self._now()
        row = self.row("claim_erasure", now=now, until=now + lease_ms)
        return None if row is None else to_erasure(row)

    @override
    def release_erasure(self, erasure_id: str) -> None:
        self.execute("release_erasure", id=erasure_id)

    @override
    def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        now, done = self._now(), 0
        for ids in within_part(message_ids, MESSAGES_AT_ONCE):
            found = sorted(self.messages(erasure.tenant, ids), key=attrgetter("number"), reverse=True)
            for each in found:  # the last one of a thread comes first, so that no message becomes ready in between
                if each.state not in TERMINAL:
                    self._cancel(each, now, running=True, settles=False)
            done += len(ids)
        return done

    @override
    def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        counts: Counter[str] = Counter()
        for ids in within_part(message_ids, MESSAGES_AT_ONCE):
            counts.update(self._erase_messages(erasure, ids))
        self._count(erasure, counts)
        if counts:
            self.touched.add(CHANGED)
        return counts["messages"]

    def _erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> Mapping[str, int]:
        """Erase some messages. Return how many objects of each kind."""
        found = self.rows("find_erasable", tenant=erasure.tenant, ids=json.dumps(message_ids))
        if not found:
            return {}
        now = self._now()
        numbers, ids = json.dumps([row[0] for row in found]), json.dumps([row[1] for row in found])
        events, attempts, deliveries, aliases = self.rows("count_parts", numbers=numbers, ids=ids)[0]
        if erasure.kind is not ErasureKind.TENANT:
            self._add_names(erasure.id, [row[1] for row in found])
        self.execute("note_erased", numbers=numbers, now=now, after=now - KEY_SECONDS * 1000)
        self.execute("erase_messages", numbers=numbers)
        memories = [
            DroppedMemory(erasure.tenant, "", message_id)
            for _, message_id, thread_id, log_pruned in found
            if thread_id is None and not log_pruned
        ]
        self._drop_memories(memories)
        self.touched |= {message_topic(row[1]) for row in found}
        return {
            "messages": len(found), "events": events, "attempts": attempts, "deliveries": deliveries,
            "aliases": aliases, "memories": len(memories),
        }  # fmt: skip

    @override
    def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        erased = 0
        for (thread_id,) in within_part(thread_ids, 1):
            if erasure.kind is not ErasureKind.TENANT:
                self._add_names(erasure.id, [thread_id])
            with suppress(ThreadNotFound, ThreadRunning):  # raised before anything is written
                self.delete_thread(erasure.tenant, thread_id, None)
                erased += 1
        self._count(erasure, {"threads": erased, "memories": erased})
        return erased

    @override
    def erase_rows(self, erasure: Erasure, limit: int) -> bool:
        erased: Counter[str] = Counter()
        left = True
        for _ in within_part(range(limit), ROWS_AT_ONCE):
            part = self._erase_rows(erasure, min(limit, ROWS_AT_ONCE))
            erased.update(part)
            left = max(part.values(), default=0) >= min(limit, ROWS_AT_ONCE)
            if not left:
                break
        self._count(erasure, erased)
        if erased["api_keys"]:
            self.execute("raise_revision")
            self.touched.add(ACCESS)
        return left

    def _erase_rows(self, erasure: Erasure, limit: int) -> dict[str, int]:
        """Erase some rows of each kind. Return how many."""
        target, erased = erasure.target, {}
        if (span := item_range(target)) is not None:
            begin, end = span
            erased["items"] = self._erase("items", tenant=target.tenant, begin=begin, end=end, limit=limit)
        for kind in ROWS[target.kind]:
            erased[kind] = self._erase(kind, tenant=target.tenant, limit=limit)
        if target.kind is ErasureKind.SUBJECT:
            values = {"tenant": target.tenant, "subject": target.name, "limit": limit}
            self.execute("add_usage_without_subject", **values)
            erased["usage"] = self._erase("usage_of_subject", **values)
        return erased

    @override
    def erase_names(self, erasure: Erasure, after: str, limit: int) -> str | None:
        place, stage = after, NamePlace.of(erasure, after).stage
        for part in within_part(range(limit), ROWS_AT_ONCE):
            following = self._erase_names(erasure, place, len(part))
            if following is None or NamePlace.of(erasure, following).stage != stage:
                return following
            place = following
        return place

    def _erase_names(self, erasure: Erasure, after: str, limit: int) -> str | None:
        place = NamePlace.of(erasure, after)
        stage = place.stage
        if stage not in NAME_STAGES:
            self.execute("forget_erased_names", erasure=erasure.id, limit=limit)
            return "names:" if self._connection().changes() == limit else None
        query, counted, following = NAME_STAGES[stage]
        until = place.until
        if until is None and (until := self.value(f"end_of_{stage}", tenant=erasure.tenant)) is None:
            return f"{following}:"
        last = self.value(f"part_of_{stage}", tenant=erasure.tenant, after=place.after, limit=limit)
        if last is None:
            return f"{following}:"
        values = {**naming(erasure)._asdict(), "after": place.after, "last": last}
        if stage == "audit":
            self.execute("erase_actor_of_audit", **values)
        self.execute(query, **values)
        self._count(erasure, {counted: self._connection().changes()})
        return place.following(last, until)

    @override
    def left_to_erase(self, erasure: Erasure) -> bool:
        return self._left(erasure) or bool(
            self.value(
                "left_in_memory", tenant=erasure.tenant, erasure=erasure.id, everything=naming(erasure).everything
            )
        )

    @override
    def end_erasure(self, erasure: Erasure) -> bool:
        if self._left(erasure):
            return False
        if erasure.kind is ErasureKind.TENANT:
            self.execute("erase_tallies", tenant=erasure.tenant)
        self.execute("end_erasure", id=erasure.id, now=self._now())
        return True

    def _left(self, erasure: Erasure) -> bool:
        name = {} if erasure.kind is ErasureKind.TENANT else {"name": erasure.name}
        return bool(self.value(f"left_of_{erasure.kind}", tenant=erasure.tenant, **name))

    def _erase(self, kind: str, **values: object) -> int:
        self.execute(f"erase_{kind}", **values)
        return self._connection().changes()

    def _add_names(self, erasure_id: str, names: Sequence[str]) -> None:
        self.execute_each("add_erased_name", [{"erasure": erasure_id, "name": name} for name in names])

    def _count(self, erasure: Erasure, more: Mapping[str, int]) -> None:
        if any(more.values()):
            counts = added_counts(self.value("counts_of_erasure", id=erasure.id), more)
            self.execute("count_erased", id=erasure.id, counts=counts)
