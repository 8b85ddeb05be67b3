"""Errors of erasures."""

from . import Conflict, NotFound
from .access import TenantNotFound


class ErasureInProgress(Conflict):
    """The thread, the subject or the tenant of the request is being erased."""

    code = "erasure_in_progress"

    def __init__(self, kind: str) -> None:
        super().__init__(f"The {kind} of this request is being erased. Nothing was stored. Send it again later.")


class SubjectNotFound(NotFound):
    """The tenant has nothing of this subject."""

    code = "subject_not_found"

    def __init__(self, subject: str) -> None:
        super().__init__(f"There is no data of the subject {subject!r}.")


class NothingOfTenant(TenantNotFound):
    """There is nothing of this tenant."""

    def __init__(self, tenant: str) -> None:
        super(TenantNotFound, self).__init__(f"There is no data of the tenant {tenant!r}.")


class ErasureNotFound(NotFound):
    """There is no erasure with this id."""

    code = "erasure_not_found"

    def __init__(self, erasure_id: str) -> None:
        super().__init__(f"There is no erasure with the id {erasure_id!r}.")
