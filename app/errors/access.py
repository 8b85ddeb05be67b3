"""The errors of API keys."""

from . import AgentQueueError, Conflict, Forbidden, NotFound, Unauthorized


class KeyNotFound(NotFound):
    """There is no API key with this id."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no API key with the id {key_id!r}.")


class KeyRevoked(Conflict):
    """The API key was revoked, which is final."""

    code = "key_revoked"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The API key {key_id!r} was revoked. Create a new key.")


class KeyMoved(Conflict):
    """Others changed the API key again and again while it was to be changed."""

    code = "key_moved"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The API key {key_id!r} is being changed by others. Send the request again.")


class TenantNotFound(NotFound):
    """The tenant has no record."""

    code = "tenant_not_found"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"The tenant {tenant!r} has no settings of its own. Those of the server count for it.")


class TenantMoved(Conflict):
    """Others changed the settings of the tenant again and again while they were to be changed."""

    code = "tenant_moved"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"The settings of the tenant {tenant!r} are being changed by others. Send the request again.")


class RightsExceeded(Forbidden):
    """The caller would give away rights that they do not have."""

    code = "rights_exceeded"


class NoRole(Forbidden):
    """A proxy has signed the caller in, and none of their groups has a role."""

    code = "no_role"

    def __init__(self) -> None:
        super().__init__("None of the caller's groups has a role. The setting PROXY_ROLES gives roles to groups.")


class InvalidToken(Unauthorized):
    """The presented text is not a token or a ticket of this server."""

    code = "invalid_token"


class ExpiredToken(Unauthorized):
    """The caller presents a token or a ticket that has expired."""

    code = "expired_token"


class TokenNotYetValid(Unauthorized):
    """The caller presents a token that begins later."""

    code = "token_not_yet_valid"


class RevokedToken(Unauthorized):
    """The caller presents a token that was ended before its time."""

    code = "revoked_token"


class KeysUnavailable(AgentQueueError):
    """The keys of the identity provider cannot be fetched, so no token of it can be verified."""

    code = "identity_provider_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The keys of the identity provider cannot be read at the moment. Send the request again later."
        )


class UsedTicket(Unauthorized):
    """The caller presents a ticket that was used before."""

    code = "used_ticket"


class SessionRefused(Unauthorized):
    """The caller presents a session that is not admitted. `cookie` is the header that has the browser forget it."""

    cookie: str | None = None


class InvalidSession(SessionRefused):
    """The presented cookie is not a session of this server."""

    code = "invalid_session"


class SessionEnded(SessionRefused):
    """The caller presents a session that has ended: by its time, by signing out, or with its key."""

    code = "session_ended"


class CsrfFailed(Forbidden):
    """A request with a session comes from a page of another origin, or lacks the session's token."""

    code = "csrf_failed"


class SessionsNotHere(Forbidden):
    """The connection is neither encrypted nor from the server's own host, so no session is begun on it."""

    code = "https_required"


class TooManyAttempts(AgentQueueError):
    """Too many attempts to sign in have failed."""

    code = "too_many_attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many attempts to sign in have failed from this address. Try again in {retry_after} seconds."
        )
        self.retry_after = retry_after


class InvalidKey(Unauthorized):
    """The presented text is not an API key of this server."""

    code = "invalid_api_key"


class ExpiredKey(Unauthorized):
    """The caller presents a secret that has expired."""

    code = "expired_api_key"


class RevokedKey(Unauthorized):
    """The caller presents a key that was revoked."""

    code = "revoked_api_key"
