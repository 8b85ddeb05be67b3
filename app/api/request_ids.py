"""Names each request by an id, the caller's or a new one. The reply has it, and the log line of a failure."""

import re
from contextvars import ContextVar

from starlette.types import Scope
from uuid_utils import uuid4

HEADER = b"x-request-id"

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the present request. A task that outlives its request still has it, so only failed requests log it."""

_TAKEN = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id_of(scope: Scope | None) -> bytes:
    """Return the id that the only `X-Request-Id` of a request names, else a new one.

    `scope` is None if the head was not parsed. `secrets` would release Python's lock for the system's random bytes. The
    event loop then waits for the thread that writes, which took a submit as long as all of its stages.
    """
    given = [] if scope is None else [value for name, value in scope["headers"] if name == HEADER]
    return given[0] if len(given) == 1 and _TAKEN.fullmatch(given[0]) else uuid4().hex.encode()
