"""Says the errors of the settings, the database and the access to it, as `failures` says those of the client."""

import re

from ..errors import AgentQueueError, InvalidRequest, MissingDriver, StoreRefused, StoreUnavailable
from ..errors.access import KeyNotFound, KeyRevoked, TenantMoved, TenantNotFound
from ..startup import CONFIGURATION_EXIT_CODE
from .failures import FAILED, NOT_FOUND, USAGE, Failure, Place, unexpected


def explain(error: Exception, place: Place) -> Failure:
    """Return what an error of a command on the store means to the person at the terminal."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return Failure("system_error", f"{error}", "agentq doctor")
    if not isinstance(error, AgentQueueError):
        return unexpected(error, place)
    fix, exit_code = "agentq doctor", CONFIGURATION_EXIT_CODE
    match error:
        case KeyNotFound():
            fix, exit_code = "agentq keys list", NOT_FOUND
        case TenantNotFound():
            fix, exit_code = "agentq tenants list", NOT_FOUND
        case TenantMoved():
            fix, exit_code = "agentq tenants show", FAILED
        case KeyRevoked():
            fix, exit_code = "agentq keys create", FAILED
        case InvalidRequest():
            fix, exit_code = f"agentq {place.command} --help", USAGE
        case MissingDriver() if named := re.search(r"`(pip install [^`]+)`", str(error)):
            fix = named[1]
        case StoreUnavailable() if not isinstance(error, StoreRefused):  # another try may work
            exit_code = FAILED
    return Failure(error.code, str(error), fix, exit_code=exit_code)
