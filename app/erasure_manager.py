"""Begins erasures of threads, subjects and tenants, and does their work in small parts."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from .access.principals import Principal
from .access.scopes import AccessScope
from .access.visible import ALL_OF_TENANT, VisibleReads, require_all
from .errors import Forbidden
from .errors.erasures import ErasureNotFound, NothingOfTenant, SubjectNotFound
from .models.audit import Actor, AuditAction, record_of
from .models.erasures import Erasure, ErasureKind, ErasureTarget, NewErasure
from .models.items import ItemSearch, own_namespace
from .models.memory import AgentMemory
from .models.messages import Message, MessageFilter, MessageState, Page
from .models.threads import ThreadFilter
from .models.usage import UsageFilter, UsageGroup
from .models.visibility import Visibility
from .store.dropped_memories import forget_dropped
from .store.ports import (
    AccessStore,
    ErasureStore,
    ItemStore,
    QueryStore,
    StatisticsStore,
    TenantStore,
    ThreadStore,
    TokenStore,
    UpkeepStore,
    UsageStore,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

Gone = tuple[int, int]

LEASE_SECONDS = 15.0
"""How long another process waits before it goes on with an erasure whose process is silent."""

TURN_SECONDS = 10.0
"""How long one erasure works before the next one has its turn. Shorter than the lease."""

MESSAGES_AT_ONCE = 50
"""Maximum number of messages or threads that one transaction cancels or removes."""

ROWS_AT_ONCE = 500
"""Maximum number of other rows that one transaction removes or reads."""

RECORDS_SECONDS = 900.0
"""How long the records of changes are kept, as `app.maintenance` does."""

KEYS_AT_ONCE = 100

ALL_TIMES = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
UNFINISHED = frozenset({MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED})


class ErasingStore(
    ErasureStore,
    QueryStore,
    ThreadStore,
    ItemStore,
    AccessStore,
    TokenStore,
    UsageStore,
    StatisticsStore,
    TenantStore,
    UpkeepStore,
    Protocol,
):
    """The ports that an erasure uses."""


class ErasureManager:
    """Begins erasures for callers, and shows their receipts."""

    def __init__(self, store: ErasingStore) -> None:
        self._store = store
        self._visible = VisibleReads(store)

    async def erase_thread(self, caller: Principal, thread_id: str, by: Actor | None = None) -> Erasure:
        """Begin to erase a thread. Raises ThreadNotFound, and Forbidden if the caller may use some agents only."""
        await self._visible.thread(caller, thread_id)
        if caller.agents is not None:
            raise Forbidden(ALL_OF_TENANT)
        return await self._begin(ErasureTarget(caller.tenant, ErasureKind.THREAD, thread_id), by)

    async def erase_subject(self, caller: Principal, subject: str, by: Actor | None = None) -> Erasure:
        """Begin to erase all of an end user, and end their tokens. Raises SubjectNotFound, Forbidden."""
        require_all(caller)
        target = ErasureTarget(caller.tenant, ErasureKind.SUBJECT, subject)
        if not await self._has_any(target):
            raise SubjectNotFound(subject)
        await self._store.end_tokens(caller.tenant, subject)
        return await self._begin(target, by)

    async def erase_tenant(self, tenant: str, by: Actor | None = None) -> Erasure:
        """Begin to erase a tenant, and revoke its keys, which ends their tokens too. Raises NothingOfTenant."""
        target = ErasureTarget(tenant, ErasureKind.TENANT)
        if not await self._has_any(target):
            raise NothingOfTenant(tenant)
        begun = await self._begin(target, by)
        await revoke_keys(self._store, tenant)
        return begun

    async def get(self, caller: Principal, erasure_id: str) -> Erasure:
        """Return an erasure. Raises ErasureNotFound.

        Callers who see a part of the tenant get erasures of threads only. An id is random, and given to who asked.
        """
        found = await self._store.get_erasure(_shown_tenant(caller), erasure_id)
        if found is None or (caller.is_narrowed and found.kind is not ErasureKind.THREAD):
            raise ErasureNotFound(erasure_id)
        return found

    async def list(self, caller: Principal, *, limit: int) -> "list[Erasure]":
        """Return up to `limit` erasures, newest first. Raises Forbidden."""
        require_all(caller)
        return await self._store.list_erasures(_shown_tenant(caller), limit=limit)

    async def _begin(self, target: ErasureTarget, by: Actor | None) -> Erasure:
        erasure_id = str(uuid.uuid4())
        actor = "local" if by is None else by.name
        if actor.startswith("subject:"):
            actor = "subject"
        audit = record_of(by, AuditAction.ERASE_DATA, target.tenant, erasure_id, kind=target.kind.value)
        begun = await self._store.begin_erasure(NewErasure(erasure_id, target, actor), audit=audit)
        if begun.id == erasure_id:
            logger.info("Erasure begun: id=%s, kind=%s", begun.id, begun.kind)
        return begun

    async def _has_any(self, target: ErasureTarget) -> bool:
        """Return whether there is anything of a subject or a tenant."""
        tenant, subject = target.tenant, target.name if target.kind is ErasureKind.SUBJECT else None
        visible = Visibility(subject=subject)
        prefix = () if subject is None else own_namespace(subject)
        chosen = UsageFilter(*ALL_TIMES, tenant=tenant, subject=subject)
        reads: list[Callable[[], Awaitable[object]]] = [
            lambda: self._store.list_messages(tenant, MessageFilter(visible=visible), Page(1), positions=False),
            lambda: self._store.list_threads(tenant, Page(1), ThreadFilter(visible=visible)),
            lambda: self._store.search_items(tenant, ItemSearch(prefix, limit=1)),
            lambda: self._store.list_usage(chosen, frozenset({UsageGroup.MODEL}), after=None, limit=1),
        ]
        if subject is None:
            reads += [lambda: self._store.list_keys(tenant, after="", limit=1), lambda: self._store.get_tenant(tenant)]
        for read in reads:
            if await read():
                return True
        return False


def _shown_tenant(caller: Principal) -> str | None:
    """Return the tenant whose erasures the caller may see, None for all."""
    return None if AccessScope.ADMIN in caller.scopes and not caller.is_narrowed else caller.tenant


async def revoke_keys(store: AccessStore, tenant: str) -> None:
    """Revoke all keys of a tenant."""
    after = ""
    while keys := await store.list_keys(tenant, after=after, limit=KEYS_AT_ONCE):
        for key in keys:
            if key.revoked_at is None:
                await store.revoke_key(tenant, key.id)
        after = keys[-1].id


class Eraser:
    """Works on running erasures. Every process may, since each part is a transaction that checks its rows again.

    The order is: keys, waiting and running messages, ended messages, threads, other rows, what agents remember, and
    names in records. A message that runs is cancelled, and the erasure goes on when it has ended. Between two parts the
    eraser rests for as long as the last part took, so that others wait for one part at most.
    """

    def __init__(self, store: ErasingStore, memory: Callable[[], AgentMemory | None]) -> None:
        self._store = store
        self._memory = memory
        self._cursors: dict[str, tuple[int, str]] = {}
        self._places: dict[str, tuple[Gone, str]] = {}

    async def work(self) -> None:
        """Work on every running erasure that no other process works on, each for up to TURN_SECONDS."""
        held: list[Erasure] = []
        try:
            while (erasure := await self._store.claim_erasure(lease_seconds=LEASE_SECONDS)) is not None:
                if any(each.id == erasure.id for each in held):
                    return  # the lease has ended meanwhile
                held.append(erasure)
                if await self._turn(erasure):
                    held.remove(erasure)
                    logger.info("Erasure completed: id=%s, kind=%s", erasure.id, erasure.kind)
        finally:
            for each in held:
                await self._store.release_erasure(each.id)

    async def _turn(self, erasure: Erasure) -> bool:
        """Work on one erasure. Return whether it is completed."""
        until = time.monotonic() + TURN_SECONDS
        if erasure.kind is ErasureKind.TENANT:
            await revoke_keys(self._store, erasure.tenant)
        if not await self._cancel(erasure, until):
            return False
        for step in (self._erase_messages, self._erase_threads, self._erase_rows):
            if not await step(erasure, until):
                return False
        if not await self._forget(erasure) or not await self._erase_names(erasure, until):
            return False
        if await self._store.erase_rows(erasure, limit=ROWS_AT_ONCE):
            return False  # many have come meanwhile
        return await self._store.end_erasure(erasure)

    async def _cancel(self, erasure: Erasure, until: float) -> bool:
        """Cancel unfinished messages, the last of each thread first. Return whether all of them have ended.

        Goes on where the last turn stopped, since a walk past all that are cancelled already may take a while.
        """
        cursor = self._cursors.pop(erasure.id, None)
        asked = False
        while time.monotonic() < until:
            found = await self._listed(erasure, states=UNFINISHED, cursor=cursor)
            if not found:
                if cursor is None:
                    return True
                if asked:
                    return False  # messages that run have to end first
                cursor = None  # look again, since others may have come before the erasure began
                continue
            asked = asked or any(each.state is MessageState.PROCESSING for each in found)
            done = await self._rest(self._store.cancel_messages(erasure, [each.id for each in found]))
            cursor = (found[done - 1].number, "")
        if cursor is not None:
            self._cursors[erasure.id] = cursor
        return False

    async def _erase_messages(self, erasure: Erasure, until: float) -> bool:
        cursor: tuple[int, str] | None = None
        while time.monotonic() < until:
            found = await self._listed(erasure, cursor=cursor)
            if not found:
                return True
            erased = await self._rest(self._store.erase_messages(erasure, [each.id for each in found]))
            if erased in (0, len(found)):
                cursor = (found[-1].number, "")
        return False

    async def _erase_threads(self, erasure: Erasure, until: float) -> bool:
        name = erasure.name or ""
        match erasure.kind:
            case ErasureKind.THREAD:
                chosen = ThreadFilter(ids=frozenset({name}))
            case ErasureKind.SUBJECT:
                chosen = ThreadFilter(visible=Visibility(subject=name))
            case ErasureKind.TENANT:
                chosen = ThreadFilter()
        while time.monotonic() < until:
            threads = await self._store.list_threads(erasure.tenant, Page(MESSAGES_AT_ONCE), chosen)
            if not threads:
                return True
            ids = [each.thread_id for each in threads]
            if not await self._rest(self._store.erase_threads(erasure, ids)):
                return False  # a message has come meanwhile
        return False

    async def _erase_rows(self, erasure: Erasure, until: float) -> bool:
        if erasure.kind is ErasureKind.TENANT:
            # No messages are left, so these are the last records of changes that become figures of the tenant.
            await self._store.fold_figures(records_seconds=RECORDS_SECONDS)
            await self._store.delete_tenant(erasure.tenant)
        while time.monotonic() < until:
            if not await self._rest(self._store.erase_rows(erasure, limit=ROWS_AT_ONCE)):
                return True  # more that come are new, and a busy writer would keep the erasure from its end
        return False

    async def _forget(self, erasure: Erasure) -> bool:
        """Delete what agents remember. Return whether nothing of the target is left, also in other processes."""
        if (memory := self._memory()) is not None:
            await forget_dropped(self._store, memory)
        return not await self._store.left_to_erase(erasure)

    async def _erase_names(self, erasure: Erasure, until: float) -> bool:
        """Replace names from where the last turn stopped, unless messages or threads have been erased since."""
        gone = await self._gone(erasure)
        kept, place = self._places.pop(erasure.id, (gone, ""))
        following: str | None = place if kept == gone else ""
        while following is not None and time.monotonic() < until:
            place = following
            following = await self._rest(self._store.erase_names(erasure, place, limit=ROWS_AT_ONCE))
            if following == place and place != "names:":
                break  # another erasure works on the same records
        if following is not None:
            self._places[erasure.id] = gone, following
        return following is None

    async def _gone(self, erasure: Erasure) -> Gone:
        """Return how many messages and threads are erased. Only they leave names and figures behind."""
        counts = (await self._store.get_erasure(erasure.tenant, erasure.id) or erasure).counts
        return counts.get("messages", 0), counts.get("threads", 0)

    async def _listed(
        self,
        erasure: Erasure,
        *,
        states: frozenset[MessageState] | None = None,
        cursor: tuple[int, str] | None = None,
    ) -> list[Message]:
        """Return some messages of the target, newest first."""
        name = erasure.name or ""
        chosen = MessageFilter(
            states=states,
            thread_id=name if erasure.kind is ErasureKind.THREAD else None,
            visible=Visibility(subject=name if erasure.kind is ErasureKind.SUBJECT else None),
        )
        page = Page(MESSAGES_AT_ONCE, cursor)
        return await self._store.list_messages(erasure.tenant, chosen, page, positions=False)

    async def _rest(self, part: Awaitable[T]) -> T:
        """Do one part, then rest as long as it took."""
        began = time.monotonic()
        done = await part
        await asyncio.sleep(time.monotonic() - began)
        return done
