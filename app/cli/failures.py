"""The one place that says errors: what happened, what to do, and the exit code."""

import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple

DONE, FAILED, USAGE, NOT_FOUND, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


WRONG_KEY = "invalid_api_key"
"""The code of a wrong API key, also of one with characters that cannot be sent."""

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

    def fix(self, *words: str, given: Sequence[str] = ()) -> str:
        """Return a command on the same server. `given` are arguments that may look like options."""
        address = [] if self.url is None else ["--url", self.url]
        ends = ["--", *given] if any(each.startswith("-") for each in given) else []
        return " ".join(map(_quoted, ["agentq", *words, *([] if ends else given), *address, *ends]))


def _quoted(word: str) -> str:
    """Return a word for a shell. One with characters that no terminal shows is in the form $'…' of bash and zsh."""
    if word.isprintable():
        return shlex.quote(word)
    shown = (
        (
            f"\\{each}"
            if each in "\\'"
            else each if each.isprintable() else "".join(f"\\x{byte:02x}" for byte in each.encode())
        )
        for each in word
    )
    return f"$'{''.join(shown)}'"


def unexpected(error: Exception, place: Place) -> Failure:
    """Return the failure for an error that nobody thought of."""
    return Failure("unexpected_error", f"{type(error).__name__}: {error}", place.fix(*place.command.split(), "--debug"))


def explain(error: Exception, place: Place) -> Failure:
    """Return what an error of the client means to the person at the terminal."""
    from ..client import errors

    if isinstance(error, Failure):
        return error
    if not isinstance(error, errors.AgentQError):
        return unexpected(error, place)
    message, exit_code = error.what.replace("Value error, ", ""), FAILED
    if isinstance(error, errors.APIError):
        message = message.partition(REFUSED)[2] or message
    if isinstance(error, errors.ConfigurationError):
        message = " ".join(filter(None, (message, error.cure)))
    if isinstance(error, errors.InvalidRequest | errors.ConfigurationError) and error.code != WRONG_KEY:
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
        case errors.ServerUnreachable() if place.url is None and not os.environ.get("AGENTQ_URL"):
            return f"agentq serve  # or, if it runs elsewhere: AGENTQ_URL=... agentq {place.command}"
        case errors.AgentQError(code=code) if code == WRONG_KEY or isinstance(error, errors.AuthenticationError):
            return "AGENTQ_API_KEY=... " + place.fix(*place.command.split())
        case errors.PermissionDenied():
            return "agentq keys create --scope submit --scope read --scope control --scope admin"
        case errors.NotFound() | errors.Gone():
            group = place.command.partition(" ")[0]
            if group in {"threads", "dead-letters"}:
                return place.fix(group, "list")
            return place.fix("threads", "list") if error.code == "thread_not_found" else place.fix("ls")
        case errors.QueueFull() | errors.TooManyRequests():
            return place.fix("queue", "show")
        case errors.Conflict():
            return place.fix("ls")
        case errors.InvalidRequest() | errors.ConfigurationError() | errors.TextDiverged():
            return f"agentq {place.command} --help"
    return place.fix("doctor")
