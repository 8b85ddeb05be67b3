"""The callers of requests."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from ..models.keys import KeyWebhook
from ..models.messages import DEFAULT_TENANT
from ..models.tenants import NO_QUOTAS, Quotas
from ..models.visibility import ThreadNarrowing, Visibility
from .scopes import AccessScope


class Session(NamedTuple):
    """A session in a browser. `id` is secret. It ends at `until` unless it is used before, and at `last` at the latest.

    `revision` is the one at which its user signed in.
    """

    id: str
    until: datetime
    last: datetime
    revision: int

    @property
    def ended_name(self) -> str:
        """Return the name under which the store notes the end of the session. It does not tell the id.

        No subject has a line break.
        """
        return f"\nsession\n{hashlib.sha256(self.id.encode()).hexdigest()}"


class Principal(NamedTuple):
    """The caller of a request: the tenant whose data they may use, and the scopes that they have.

    `key_id` is the API key that they presented or that made their token; None without one. `key_mark` tells which of
    its secrets it was. `subject` is the end user for whom they act. `threads` and `agents` narrow what they may use;
    None allows all. `expires_at` is None for callers without an end. `webhook` is what their API key adds to the
    messages that they submit. `session` is the session of their browser. `rate_per_minute` limits the messages that
    are submitted with their token, `key_limit` those of their key in a minute; `key_quotas` are those of their key.
    `by_token` tells whether they presented a token and no API key; `issuer` is who issued it if this server did not.
    `user` is the person whom a named proxy has signed in, and `until` is when their open streams end.
    """

    tenant: str
    scopes: frozenset[AccessScope]
    key_id: str | None = None
    key_mark: str | None = None
    subject: str | None = None
    threads: ThreadNarrowing | None = None
    agents: frozenset[str] | None = None
    expires_at: datetime | None = None
    webhook: KeyWebhook | None = None
    rate_per_minute: int | None = None
    key_limit: int | None = None
    key_quotas: Quotas = NO_QUOTAS
    by_token: bool = False
    issuer: str | None = None
    session: Session | None = None
    user: str | None = None
    until: datetime | None = None

    @property
    def ends_at(self) -> datetime | None:
        """Return when the caller is no longer admitted: the end of their rights, session or streams. None: never."""
        if self.session is None and self.until is None:
            return self.expires_at
        ends = (self.expires_at, self.until, None if self.session is None else self.session.until)
        return min(end for end in ends if end is not None)

    @property
    def visibility(self) -> Visibility:
        """Return what the caller may see of their tenant."""
        return Visibility(self.subject, self.threads, self.agents)

    @property
    def is_narrowed(self) -> bool:
        """Return whether the caller may not see all of their tenant."""
        return not (self.subject is None and self.threads is None and self.agents is None)


ANONYMOUS = Principal(DEFAULT_TENANT, frozenset(AccessScope))
"""The principal of everybody who is admitted without a key."""
