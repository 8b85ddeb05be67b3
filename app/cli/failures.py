"""The one place that says errors: what happened, what to do, and the exit code."""

import shlex
from typing import NamedTuple

DONE, FAILED, USAGE, NOT_FOUND, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


REFUSED = " was refused: "
"""The client puts the request before this. A person at a terminal knows what they asked for."""


class Failure(Exception):
    """The end of a command without success. `fix` is a command that helps, empty if there is none."""

    def __init__(self, code: str, message: str, fix: str = "", *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.exit_code = exit_code


class Place(NamedTuple):
    """The place where an error happened. `url` is the address of the server as it was given, None for the default."""

    command: str
    url: str | None = None

    def fix(self, *words: str) -> str:
        """Return a command on the same server."""
        address = [] if self.url is None else ["--url", self.url]
        return shlex.join(["agentq", *words, *address])


def explain(error: Exception, place: Place) -> Failure:
    """Return what an error of the client means to the person at the terminal."""
    from ..client import errors

    if isinstance(error, Failure):
        return error
    if not isinstance(error, errors.AgentQError):
        return Failure("unexpected_error", f"{type(error).__name__}: {error}", f"agentq {place.command} --debug")
    message, exit_code = error.what, FAILED
    if isinstance(error, errors.APIError):
        message = message.partition(REFUSED)[2] or message
    if isinstance(error, errors.ConfigurationError):
        message = " ".join(filter(None, (message, error.cure)))
    if isinstance(error, errors.InvalidRequest | errors.ConfigurationError):
        exit_code = USAGE
    elif isinstance(error, errors.NotFound | errors.Gone):
        exit_code = NOT_FOUND
    elif isinstance(error, errors.WaitTimeout):
        exit_code = TIMEOUT
    return Failure(error.code, message, _fix(error, place), exit_code=exit_code)


def _fix(error: Exception, place: Place) -> str:  # noqa: PLR0911  one line for each kind
    """Return the command that helps most people after this error."""
    from ..client import errors

    of_message: dict[type[Exception], str] = {
        errors.MessageFailed: "retry", errors.MessageInterrupted: "resume", errors.MessageCancelled: "status",
        errors.WaitTimeout: "follow", errors.StreamLost: "follow",
    }  # fmt: skip
    for kind, verb in of_message.items():
        if isinstance(error, kind):
            return place.fix(verb, getattr(error, "message_id", ""))
    match error:
        case errors.ServerUnreachable() if place.url is None:
            return "agentq serve"
        case errors.AuthenticationError():
            return "AGENTQ_API_KEY=... " + place.fix(*place.command.split())
        case errors.PermissionDenied():
            return "agentq keys create --scope submit --scope read --scope control --scope admin"
        case errors.NotFound() | errors.Gone():
            return place.fix("threads", "list") if place.command.startswith("threads") else place.fix("ls")
        case errors.QueueFull() | errors.TooManyRequests():
            return place.fix("queue", "show")
        case errors.Conflict():
            return place.fix("ls")
        case errors.InvalidRequest() | errors.ConfigurationError() | errors.TextDiverged():
            return f"agentq {place.command} --help"
    return place.fix("doctor")
