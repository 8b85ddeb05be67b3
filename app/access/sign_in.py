"""Signs users in with an API key or a token of the identity provider, and limits failed attempts."""

import time
from collections import OrderedDict
from typing import NamedTuple

from starlette.types import Scope

from ..errors import Unauthorized
from ..errors.access import InvalidKey, InvalidToken, TooManyAttempts
from .actors import actor_of
from .hosts import prefix_of
from .principals import Principal
from .sessions import Sessions
from .signing import SESSION_PREFIX, TICKET_PREFIX, TOKEN_PREFIX
from .verification import KeyVerifier

MAX_FAILURES = 10
WINDOW_SECONDS = 60.0
"""Window for MAX_FAILURES failed attempts from one address, in each process. Keys cannot be guessed anyway."""

MAX_ADDRESSES = 10_000
"""Maximum number of addresses that are remembered. The one that failed longest ago is dropped."""

NOT_TO_SIGN_IN = "Sign in with an API key or with a token of the identity provider."
NO_KEYS = (
    "This server has no API keys yet, so there is nothing to sign in with. Requests of its own host need no session; "
    "for others, make a key with `agentq keys create`."
)


class Failures(NamedTuple):
    """Failed attempts of an address since the time `began` of the monotonic clock."""

    began: float
    attempts: int


class Attempts:
    """Counts failed attempts to sign in by address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    def begin(self, address: str) -> None:
        """Count an attempt as failed until `succeed` is called. Raises TooManyAttempts."""
        now = time.monotonic()
        name = prefix_of(address)
        failures = self._failures.get(name, Failures(now, 0))
        if now - failures.began >= WINDOW_SECONDS:
            failures = Failures(now, 0)
        if failures.attempts >= MAX_FAILURES:
            raise TooManyAttempts(int(failures.began + WINDOW_SECONDS - now) + 1)
        self._failures[name] = failures._replace(attempts=failures.attempts + 1)
        self._failures.move_to_end(name)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeed(self, address: str) -> None:
        """Take back an attempt that succeeded. Earlier failures still count."""
        name = prefix_of(address)
        failures = self._failures.get(name)
        if failures is not None:
            self._failures[name] = failures._replace(attempts=failures.attempts - 1)


class SignIn:
    """Makes sessions for callers who present a credential."""

    def __init__(self, keys: KeyVerifier, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions
        self._attempts = Attempts()

    async def sign_in(self, credential: str, address: str, *, needs_credentials: bool) -> tuple[str, Principal]:
        """Return a new session: its text and its principal.

        Raises TooManyAttempts, and what verifying the credential raises.
        """
        self._attempts.begin(address)
        if credential.startswith((TOKEN_PREFIX, TICKET_PREFIX, SESSION_PREFIX)):
            raise InvalidToken(NOT_TO_SIGN_IN)
        try:
            principal = self._keys.find(credential) or await self._keys.verify(credential)
        except Unauthorized:
            if not needs_credentials:
                raise InvalidKey(NO_KEYS) from None
            raise
        self._attempts.succeed(address)
        return await self._sessions.start(principal)

    async def end_earlier(self, text: str, connection: Scope) -> bool:
        """End the earlier session of a browser that has signed in again. Return whether it was still good."""
        try:
            earlier = await self._keys.verify(text)
        except Unauthorized:
            return False
        await self._sessions.end(earlier, actor_of(earlier, connection))
        return True
