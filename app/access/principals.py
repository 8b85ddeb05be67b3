"""The callers of requests."""

from datetime import datetime
from typing import NamedTuple

from ..models.keys import KeyWebhook
from ..models.messages import DEFAULT_TENANT
from .scopes import AccessScope


class ThreadNarrowing(NamedTuple):
    """The threads that a principal may use: those with these ids, or those whose ids begin with `prefix`."""

    ids: frozenset[str] = frozenset()
    prefix: str | None = None


class Principal(NamedTuple):
    """The caller of a request: the tenant whose data they may use, and the scopes that they have.

    `key_id` is the API key that they presented or that made their token; None without one. `subject` is the end user
    for whom they act. `threads` and `agents` narrow what they may use; None allows all. `expires_at` is None for
    callers without an end. `webhook` is what their API key adds to the messages that they submit.
    """

    tenant: str
    scopes: frozenset[AccessScope]
    key_id: str | None = None
    subject: str | None = None
    threads: ThreadNarrowing | None = None
    agents: frozenset[str] | None = None
    expires_at: datetime | None = None
    webhook: KeyWebhook | None = None


ANONYMOUS = Principal(DEFAULT_TENANT, frozenset(AccessScope))
"""The principal of everybody who is admitted without a key."""
