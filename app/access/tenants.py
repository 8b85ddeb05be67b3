"""Reads and changes the settings of tenants."""

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequest
from ..errors.access import RightsExceeded, TenantMoved, TenantNotFound
from ..models.audit import LOCAL, Actor, AuditAction, record_of
from ..models.tenants import DEFAULT_SETTINGS, Quotas, Tenant, TenantLimits, TenantSettings
from ..policy.contradictions import contradiction
from ..store.ports import TenantStore
from ..text import storable
from .principals import Principal

MAX_TRIES = 10
"""Maximum number of tries of a change, while others change the same record."""

PARTS = ("limits", "quotas", "subject_quotas")


class TenantManager:
    """Reads and changes the records of tenants for a caller whose scope `admin` was checked.

    `by` None stands for the operator at the command line, who has all rights. The audit log names `actor`.
    `max_queue_size` is the server's limit of queued messages.
    """

    def __init__(
        self, store: TenantStore, by: Principal | None = None, actor: Actor = LOCAL, *, max_queue_size: int
    ) -> None:
        self._store = store
        self._by = by
        self._actor = actor
        self._max_queue_size = max_queue_size

    async def get(self, tenant: str) -> Tenant:
        """Return the record of a tenant. Raises TenantNotFound, RightsExceeded."""
        self._check_caller()
        found = await self._store.get_tenant(_possible(tenant))
        if found is None:
            raise TenantNotFound(tenant)
        return found

    async def list(self, *, after: str = "", limit: int = 1000) -> list[Tenant]:
        """Return a page of records, by the tenants' names. Raises RightsExceeded."""
        self._check_caller()
        return await self._store.list_tenants(after=after, limit=limit)

    async def change(self, tenant: str, changes: Mapping[str, Any]) -> Tenant:
        """Change the given settings of a tenant, and make its record if there is none.

        `changes` has fields of TenantSettings by name. `limits`, `quotas` and `subject_quotas` have the fields to
        change by name. None gives a field its default. Raises InvalidRequest for settings that contradict each other,
        and RightsExceeded, TenantMoved, ErasureInProgress.
        """
        self._check_caller()
        for _ in range(MAX_TRIES):
            present = await self._store.get_tenant(tenant)
            settings = changed(DEFAULT_SETTINGS if present is None else present.settings, changes)
            self._check(settings)
            if present is not None and settings == present.settings:
                return present
            audit = record_of(self._actor, AuditAction.CHANGE_TENANT, tenant, tenant, **changes)
            revision = None if present is None else present.revision
            stored = await self._store.put_tenant(tenant, settings, revision=revision, audit=audit)
            if stored is not None:
                return stored
        raise TenantMoved(tenant)

    def _check(self, settings: TenantSettings) -> None:
        """Raise InvalidRequest if settings contradict each other."""
        found = contradiction(settings, self._max_queue_size)
        if found is not None:
            raise InvalidRequest(f"{found.field}: {found.text}", field=found.field)

    def _check_caller(self) -> None:
        """Raise RightsExceeded for a caller who is narrowed to an end user, threads or agents, since no tenant is."""
        if self._by is not None and self._by.is_narrowed:
            raise RightsExceeded("The caller is limited to an end user, threads or agents, and may not manage tenants.")


def changed(settings: TenantSettings, changes: Mapping[str, Any]) -> TenantSettings:
    """Return settings with changes, as `TenantManager.change` takes them."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name in PARTS:
            part: TenantLimits | Quotas = getattr(settings, name)
            values[name] = type(part)() if value is None else part._replace(**value)
        else:
            values[name] = getattr(DEFAULT_SETTINGS, name) if value is None else value
    return settings._replace(**values)


def _possible(tenant: str) -> str:
    """Return the name of a tenant. Raises TenantNotFound if no store could hold it."""
    try:
        return storable(tenant)
    except ValueError:
        raise TenantNotFound(tenant) from None
