"""Removes what erasures name."""

import json
from collections.abc import Mapping, Sequence

from typing_extensions import override

from ...errors import ThreadNotFound
from ...errors.threads import ThreadRunning
from ...models.erasures import Erasure, ErasureKind, NewErasure
from ...policy.lifecycle import TERMINAL
from ..erasures import ROWS, item_range, naming, target_names, to_erasure
from ..ports import ACCESS, CHANGED, MOVED, message_topic
from ..sql.erasures import NAME_STAGES, ErasureChanges, NamePlace
from .changes import Changes, Locked
from .keys import KEY_MS
from .session import Step, step
from .threads import ThreadWrites


class ErasureWrites(ThreadWrites, Changes, ErasureChanges):
    """Implements `ErasureStore`. Each part is a transaction of its own, which locks the row of the erasure last."""

    @override
    def begin_erasure(self, new: NewErasure) -> Erasure:
        target = new.target._asdict()
        # A key or a record of the tenant is stored before the erasure, or refused.
        first = [step("lock_access")] if new.target.kind is ErasureKind.TENANT else []
        with self.transaction(*first) as (now, _):
            row = self.row("begin_erasure", id=new.id, **target, actor=new.actor, now=now)
            if row is not None:
                self.rows("add_erased_names", erasure=new.id, names=target_names(new.target))
                return to_erasure(row)
            self.session.discard()
            row = self.row("same_erasure", **target)
        if row is None:  # it has ended meanwhile
            return self.begin_erasure(new)
        return to_erasure(row)

    @override
    def claim_erasure(self, lease_ms: int) -> Erasure | None:
        with self.transaction() as (now, _):
            row = self.row("claim_erasure", now=now, until=now + lease_ms)
            if row is None:
                self.session.discard()
                return None
        return to_erasure(row)

    @override
    def release_erasure(self, erasure_id: str) -> None:
        with self.transaction():
            self.rows("release_erasure", id=erasure_id)

    @override
    def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        ids = list(message_ids)
        with self.transaction(step("lock_threads", ids=ids), step("lock_messages", ids=ids, tenant=erasure.tenant)) as (
            now,
            (_, rows),
        ):
            unfinished = [each for each in map(Locked._make, rows) if each.state not in TERMINAL]
            if steps := self.cancel_all(unfinished, now):
                self.session.run_all(*steps)
            else:
                self.session.discard()
        return len(ids)

    @override
    def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        ids = list(message_ids)
        first = step("lock_threads", ids=ids), step("lock_erasable", tenant=erasure.tenant, ids=ids)
        with self.transaction(*first) as (now, (_, found)):
            if not found:
                self.session.discard()
                return 0
            numbers, ids = [row[0] for row in found], [row[1] for row in found]
            (parts,), *_ = self.session.run_all(
                step("count_parts", numbers=numbers, ids=ids),
                *_added_names(erasure, ids),
                step("note_erased", numbers=numbers, now=now, after=now - KEY_MS),
                step("erase_messages", numbers=numbers),
            )
            events, attempts, deliveries, aliases = parts
            memories = sum(thread_id is None and not log_pruned for *_, thread_id, log_pruned in found)
            counts = {
                "messages": len(found), "events": events, "attempts": attempts, "deliveries": deliveries,
                "aliases": aliases, "memories": memories,
            }  # fmt: skip
            self.session.end_with(_counted(erasure, counts))
            self.touched |= {CHANGED, *map(message_topic, ids)}
        return len(found)

    @override
    def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        empty = self._erase_empty_threads(erasure, list(thread_ids))
        erased = len(empty)
        for thread_id in [each for each in thread_ids if each not in empty]:
            more = _added_names(erasure, [thread_id])
            try:
                with self.session.committing(*more, _counted(erasure, {"threads": 1, "memories": 1})):
                    self.delete_thread(erasure.tenant, thread_id, None)
            except (ThreadNotFound, ThreadRunning):
                continue
            erased += 1
        return erased

    def _erase_empty_threads(self, erasure: Erasure, thread_ids: list[str]) -> frozenset[str]:
        """Erase those threads that have no messages, together. Return their ids."""
        named = {"tenant": erasure.tenant, "thread_ids": thread_ids}
        first = step("lock_visible_threads", **named), step("find_threads_in_use", **named)
        with self.transaction(*first) as (now, (locked, used)):
            empty = frozenset(thread_id for (thread_id,) in locked) - {thread_id for (thread_id,) in used}
            if not empty:
                self.session.discard()
                return empty
            ids = sorted(empty)
            counts = {"threads": len(ids), "memories": len(ids)}
            self.session.end_with(
                step("hide_threads", tenant=erasure.tenant, thread_ids=ids, now=now),
                *_added_names(erasure, ids),
                _counted(erasure, counts),
            )
            self.touched.add(MOVED)
        return empty

    @override
    def erase_rows(self, erasure: Erasure, limit: int) -> bool:
        target, erased = erasure.target, {}
        with self.transaction():
            if (span := item_range(target)) is not None:
                values = {"tenant": target.tenant, "begin": span[0], "end": span[1], "limit": limit}
                erased["items"] = int(self.value("erase_items", **values))
            for kind in ROWS[target.kind]:
                erased[kind] = int(self.value(f"erase_{kind}", tenant=target.tenant, limit=limit))
            if target.kind is ErasureKind.SUBJECT:
                values = {"tenant": target.tenant, "subject": target.name, "limit": limit}
                erased["usage"] = int(self.value("erase_subject_of_usage", **values))
            if not any(erased.values()):
                self.session.discard()
                return False
            if erased.get("api_keys"):
                self.rows("raise_revision")
                self.touched.add(ACCESS)
            self.session.end_with(_counted(erasure, erased))
        return max(erased.values()) >= limit

    @override
    def erase_names(self, erasure: Erasure, after: str, limit: int) -> str | None:
        place = NamePlace.of(erasure, after)
        stage = place.stage
        with self.transaction():
            if stage not in NAME_STAGES:
                forgotten = int(self.value("forget_erased_names", erasure=erasure.id, limit=limit))
                return "names:" if forgotten == limit else None
            query, counted, following = NAME_STAGES[stage]
            until = place.until
            if until is None:
                until = self.value(f"end_of_{stage}", tenant=erasure.tenant)
            last = self.value(f"part_of_{stage}", tenant=erasure.tenant, after=place.after, limit=limit)
            if last is None or until is None:
                self.session.discard()
                return f"{following}:"
            values = {**naming(erasure)._asdict(), "after": place.after, "last": last}
            if stage == "audit":
                self.rows("erase_actor_of_audit", **values)
            self.session.end_with(_counted(erasure, {counted: int(self.value(query, **values))}))
        return place.following(last, until)

    @override
    def left_to_erase(self, erasure: Erasure) -> bool:
        with self.transaction():
            self.session.discard()
            everything = naming(erasure).everything
            return self._left(erasure) or bool(
                self.value("left_in_memory", tenant=erasure.tenant, erasure=erasure.id, everything=everything)
            )

    @override
    def end_erasure(self, erasure: Erasure) -> bool:
        with self.transaction() as (now, _):
            if self._left(erasure):
                self.session.discard()
                return False
            if erasure.kind is ErasureKind.TENANT:
                self.rows("erase_tallies", tenant=erasure.tenant)
            self.rows("end_erasure", id=erasure.id, now=now)
        return True

    def _left(self, erasure: Erasure) -> bool:
        values = {"tenant": erasure.tenant, "erasure": erasure.id, "name": erasure.name}
        return bool(self.value(f"left_of_{erasure.kind}", **values))


def _counted(erasure: Erasure, more: Mapping[str, int]) -> Step:
    """Return the step that adds to the counts of an erasure."""
    return step("count_erased", id=erasure.id, more=json.dumps(dict(more)))


def _added_names(erasure: Erasure, names: Sequence[str]) -> list[Step]:
    """Return the steps that note names of erased objects. None are needed if all of a tenant is erased."""
    if erasure.kind is ErasureKind.TENANT:
        return []
    return [step("add_erased_names", erasure=erasure.id, names=list(names))]
