"""Stores aliases, and request keys with the answers to their first requests."""

import json
from collections.abc import Sequence
from typing import Any

from ...errors import AgentQueueError, KeyReused, QueueFull
from ...errors.limits import TenantQueueFull
from ...errors.threads import MessageDeleted
from ...models.messages import NewMessage, RequestKey
from ..limits import KEY_SECONDS
from ..parts import AcceptRules, NamedAlias
from ..rows import Receipt
from .changes import Changes


class Keyed(Changes):
    """The base class of writers that accept a request key. Stores the answer to the key's first request."""

    def _receipts_of(self, key: RequestKey, now: int) -> list[Receipt] | None:
        """Return the answer to an earlier request with this key, None if there was none.

        Raises KeyReused, MessageDeleted.
        """
        found = self._answer_to(key, now)
        if found is None:
            return None
        found_receipts = [Receipt(*fields) for fields in found]
        ids = [each.id for each in found_receipts]
        if ids and self.value("any_deleted", ids=json.dumps(ids)):
            raise MessageDeleted
        return found_receipts

    def _answer_to(self, key: RequestKey, now: int) -> list[Any] | None:
        """Return what is stored of the answer to an earlier request with this key, None for none. Raises KeyReused."""
        found = self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_SECONDS * 1000)
        if found is None:
            return None
        fingerprint, receipts = found
        if fingerprint != key.fingerprint:
            raise KeyReused
        answer: list[Any] = json.loads(receipts)
        return answer

    def refusal(self, rules: AcceptRules, new: Sequence[NewMessage], queued: int) -> AgentQueueError | None:
        """Return the error if the queue has no room for the messages of a tenant, None if it has.

        `queued` is the number of queued messages.
        """
        if queued + len(new) > rules.max_queued:
            return QueueFull(rules.max_queued)
        if rules.max_queued_of_tenant is not None and new:
            of_tenant = self.execute("count_queued_of_tenant", tenant=new[0].tenant).get
            if of_tenant + len(new) > rules.max_queued_of_tenant:
                return TenantQueueFull(rules.max_queued_of_tenant)
        return None

    def is_foreign(self, new: NewMessage) -> bool:
        """Return whether the thread of a new message belongs to another subject."""
        if new.subject is None or new.thread_id is None:
            return False
        owner = self.row("find_subject", tenant=new.tenant, thread_id=new.thread_id)
        return owner is not None and owner[0] != new.subject

    def any_of_others(self, rules: AcceptRules, tenant: str, thread_id: str) -> bool:
        """Return whether a thread has unfinished messages that `rules` do not let new messages cancel."""
        if rules.agents is None:
            return False
        agents = json.dumps(sorted(rules.agents))
        return self.row("find_of_other_agents", tenant=tenant, thread_id=thread_id, agents=agents) is not None

    def _keep_answer(self, key: RequestKey, answer: Sequence[object], now: int) -> None:
        """Store what a replay needs of the answer to a request: of a submit, its receipts."""
        self.execute("keep_key", **key._asdict(), receipts=json.dumps(answer), now=now)

    def _taken_alias(self, aliases: Sequence[NamedAlias]) -> str | None:
        """Return an alias that names another message, None if there is none."""
        owners: dict[tuple[str, str], str] = {}
        for tenant, alias, message_id in aliases:
            if owners.setdefault((tenant, alias), message_id) != message_id:
                return alias
        taken: str | None = self.value("find_taken_alias", aliases=json.dumps(aliases))
        return taken

    def _keep_aliases(self, aliases: Sequence[NamedAlias], first_event: int) -> None:
        self.execute("add_aliases", aliases=json.dumps(aliases), first_event=first_event)
