"""The errors of the client: one type for each kind of trouble, with what happened and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldProblem:
    """A field that the server refused, and why."""

    field: str
    detail: str


class AgentQError(Exception):
    """The base of all errors of this client.

    `code` is stable and meant for programs. `cure` says what to do. `request_id` is None if the server gave none.
    """

    code = "agentq_error"
    cure = ""

    def __init__(
        self, what: str, *, code: str | None = None, cure: str | None = None, request_id: str | None = None
    ) -> None:
        self.what = what
        self.code = code or self.code
        self.cure = self.cure if cure is None else cure
        self.request_id = request_id
        notes = f"code {self.code}" + (f", request {request_id}" if request_id else "")
        super().__init__(" ".join(part for part in (what, self.cure, f"({notes})") if part))


class ConfigurationError(AgentQError):
    """The client was given something that it cannot use, such as an address without a scheme."""

    code = "client_misconfigured"


class ServerUnreachable(AgentQError):
    """No answer came from the server, after all tries.

    `maybe_done` says whether the server may have carried the request out before the connection broke.
    """

    code = "server_unreachable"
    cure = "Check that the server runs and that the address is right (AGENTQ_URL), then try again."

    def __init__(self, what: str, *, maybe_done: bool = False, cure: str | None = None) -> None:
        super().__init__(what, cure=cure)
        self.maybe_done = maybe_done


class UnexpectedReply(AgentQError):
    """The reply is none that this client understands: another program answers, or another version of the server."""

    code = "unexpected_reply"
    cure = "Check that the address is that of an Agent Queue System, and update the older side."


class ServerTooOld(UnexpectedReply):
    """The server does not know the route that this call needs."""

    code = "server_too_old"
    cure = "Update the server, or use a call that it knows."


class APIError(AgentQError):
    """The server refused the request. `status` is that of HTTP, `problem` the whole reply."""

    def __init__(
        self,
        what: str,
        *,
        status: int,
        code: str,
        cure: str,
        request_id: str | None = None,
        fields: Sequence[FieldProblem] = (),
        state: str | None = None,
        retry_after: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, code=code, cure=cure, request_id=request_id)
        self.status = status
        self.fields = tuple(fields)
        self.state = state
        self.retry_after = retry_after
        self.problem = dict(problem or {})


class InvalidRequest(APIError):
    """The request cannot be carried out as it is (400, 408, 413 to 415, 422, 431). `fields` names what is wrong."""


class AuthenticationError(APIError):
    """The API key or token is missing, wrong, expired or revoked (401)."""


class PermissionDenied(APIError):
    """The key or token does not allow this request (403)."""


class NotFound(APIError):
    """No message, thread or other thing has this id (404)."""


class Conflict(APIError):
    """The state of the message or thread does not allow the request now (409). `state` is the state, if known."""


class Gone(APIError):
    """The object of the request was deleted (410)."""


class TooManyRequests(APIError):
    """A limit was reached (429). `retry_after` is in seconds."""


class QueueFull(APIError):
    """The queue takes no more messages now, and stored nothing (503). `retry_after` is in seconds."""


class ServerUnavailable(APIError):
    """The server cannot serve now, such as while it stops or its database is away (503 and gateway errors)."""


class CommitUnknown(APIError):
    """The server cannot say whether it stored the write (504)."""


class ServerFault(APIError):
    """The server failed unexpectedly (other 5xx)."""


class StreamLost(AgentQError):
    """A stream brought nothing new in several tries, or ended before its message. The message itself may go on.

    `last_event_id` is where to continue. `text` is the answer so far.
    """

    code = "stream_lost"
    cure = "Follow the message again later, after `last_event_id`."

    def __init__(self, what: str, *, message_id: str, last_event_id: int | None, text: str) -> None:
        super().__init__(what)
        self.message_id = message_id
        self.last_event_id = last_event_id
        self.text = text


class ChangesLost(AgentQError):
    """The stream of changes brought nothing new in several tries. `last_event_id` is where to continue."""

    code = "changes_lost"
    cure = "Follow the changes again later, after `last_event_id`."

    def __init__(self, what: str, *, last_event_id: str | None) -> None:
        super().__init__(what)
        self.last_event_id = last_event_id


class TextDiverged(AgentQError):
    """A later attempt says something else than the text that was already handed out."""

    code = "text_diverged"
    cure = "Iterate over the events and show `stream.text` anew after each one that discards text."


class WaitTimeout(AgentQError):
    """The message has not ended within the given time. It goes on."""

    code = "wait_timeout"
    cure = "Wait again with `follow(message_id)`, or `cancel` the message."

    def __init__(self, what: str, *, message_id: str) -> None:
        super().__init__(what)
        self.message_id = message_id


class MessageNotCompleted(AgentQError):
    """The base of the three ways in which a message gives no answer."""

    def __init__(self, what: str, *, message_id: str, code: str | None = None, cure: str | None = None) -> None:
        super().__init__(what, code=code, cure=cure)
        self.message_id = message_id


class MessageFailed(MessageNotCompleted):
    """The message failed. `code` is the message's error code, such as `timeout`."""

    code = "message_failed"
    cure = "It is a dead letter: mend the cause, then call `retry`."


class MessageCancelled(MessageNotCompleted):
    """The message was cancelled."""

    code = "message_cancelled"
    cure = "Submit it again if it is still wanted."


class MessageInterrupted(MessageNotCompleted):
    """The agent asks a human. `questions` has dictionaries of `id` and `value`."""

    code = "message_interrupted"
    cure = "Answer with `resume(message_id, value)`, then follow the message on."

    def __init__(self, what: str, *, message_id: str, questions: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(what, message_id=message_id)
        self.questions = tuple(questions)


class WebhookRefused(AgentQError):
    """The body of a webhook is not from the server, or is too old."""

    code = "webhook_refused"
    cure = "Answer with 400 and ignore the body. Check the secret, and that the body is the raw bytes."
