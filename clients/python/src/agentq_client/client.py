"""`AgentQ`, the client for threads. `async_client` is the same for asyncio."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .calls import messages as calls
from .core.deadline import Deadline
from .core.replies import Reply
from .core.requests import Call, Config, Tries, config_of, to_request
from .events import StreamEvent
from .options import BatchMessage, OneOrMore, SubmitOptions, Text, texts
from .pages import Pages
from .streams import MessageStream
from .transport import OpenReply, Transport

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Unpack

    from . import models

T = TypeVar("T")


class AgentQ:
    """A client of an Agent Queue System. Use it in a `with` statement, or `close` it. Threads may share it.

    `base_url` and `api_key` come from AGENTQ_URL and AGENTQ_API_KEY if they are not given. `timeout` is the time of one
    try of a request in seconds; `max_retries` says how many follow. `http_client` is used as it is and not closed.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._use(config_of(base_url, api_key, timeout, max_retries, headers), Transport(http_client))

    def _use(self, config: Config, transport: Transport) -> None:
        from . import resources  # late, since they are a tenth of the time of an import

        self._config = config
        self._transport = transport
        self.threads = resources.Threads(self)
        self.dead_letters = resources.DeadLetters(self)
        self.deliveries = resources.Deliveries(self)
        self.queue = resources.Queue(self)
        self.workers = resources.Workers(self)
        self.agents = resources.Agents(self)
        self.usage = resources.Usage(self)
        self.storage = resources.Storage(self)
        self.statistics = resources.Statistics(self)
        self.changes = resources.Changes(self)
        self.items = resources.Items(self)
        self.keys = resources.Keys(self)
        self.tenants = resources.Tenants(self)
        self.tokens = resources.Tokens(self)
        self.tickets = resources.Tickets(self)
        self.audit = resources.Audit(self)
        self.erasures = resources.Erasures(self)
        self.server = resources.Server(self)

    def __enter__(self) -> AgentQ:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def base_url(self) -> str:
        """Return the address of the server."""
        return self._config.base_url

    @property
    def timeout(self) -> float:
        """Return the seconds of one try."""
        return self._config.timeout

    def with_options(
        self,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AgentQ:
        """Return a client with other options that shares the connections of this one."""
        given = {"api_key": api_key, "timeout": timeout, "max_retries": max_retries}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        other = object.__new__(AgentQ)
        merged = {**self._config.headers, **(headers or {})}
        other._use(replace(self._config, headers=merged, **changes), self._transport)
        return other

    # Messages

    def submit(
        self, message: Text | None = None, *, idempotency_key: str | None = None, **options: Unpack[SubmitOptions]
    ) -> models.Accepted:
        """Submit a message. All tries share one idempotency key, so that it is stored once."""
        return self.call(calls.submit(message, options, idempotency_key))

    def submit_batch(
        self, messages: Iterable[BatchMessage | str], *, idempotency_key: str | None = None
    ) -> list[models.Accepted]:
        """Submit up to 1,000 messages, all or none."""
        return self.call(calls.submit_batch(messages, idempotency_key))

    def run(
        self,
        message: Text | None = None,
        *,
        wait_seconds: float | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> models.Message:
        """Submit a message and wait for its end. Return the completed message; `result` is the text.

        `wait_seconds` is the time for all of it. Raises ServerUnreachable if the submit gets no reply in it,
        MessageFailed, MessageCancelled, MessageInterrupted, and WaitTimeout. After the last two, the message goes on.
        """

        def submit(deadline: Deadline) -> models.Accepted:
            return self.call(calls.submit(message, options, idempotency_key), deadline)

        with MessageStream(self, None, submit=submit, wait_seconds=wait_seconds) as stream:
            return stream.until_done()

    def stream(
        self, message: Text | None = None, *, idempotency_key: str | None = None, **options: Unpack[SubmitOptions]
    ) -> MessageStream:
        """Return a stream that submits a message when it is entered, and shows its events."""

        def submit(deadline: Deadline) -> models.Accepted:
            return self.call(calls.submit(message, options, idempotency_key), deadline)

        return MessageStream(self, None, submit=submit)

    def follow(self, message_id: str, *, after: int | None = None, wait_seconds: float | None = None) -> MessageStream:
        """Return the stream of a message, after the event `after` if it is given."""
        return MessageStream(self, message_id, after=after, wait_seconds=wait_seconds)

    def status(self, message_id: str) -> models.Message:
        """Return the status of a message."""
        return self.call(calls.status(message_id))

    def message(self, message_id: str) -> models.MessageDetails:
        """Return a message with what its submit gave, and its failed attempts."""
        return self.call(calls.message(message_id))

    def messages(
        self,
        *,
        state: OneOrMore | None = None,
        thread_id: str | None = None,
        agent: str | None = None,
        priority: str | None = None,
        error_code: str | None = None,
        fingerprint: str | None = None,
        subject: str | None = None,
        q: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Pages[models.Message]:
        """Return the messages, newest first. `limit` is the size of a page."""
        query: dict[str, Any] = {"state": texts(state), "thread_id": thread_id, "agent": agent, "priority": priority}
        query |= {"error_code": error_code, "fingerprint": fingerprint, "subject": subject, "q": q}
        return self.pages(calls.messages({**query, "limit": limit}, metadata))

    def stored_events(
        self, message_id: str, *, after: int | None = None, limit: int | None = None
    ) -> list[StreamEvent]:
        """Return the stored events of a message after the event `after`, without waiting for more."""
        return self.call(calls.stored_events(message_id, {"after": after, "limit": limit}))

    def set_priority(self, message_id: str, priority: str) -> models.Message:
        """Change the priority of a queued message. Raises Conflict for one that has begun."""
        return self.call(calls.change_priority(message_id, priority))

    def cancel(self, message_id: str) -> models.Cancellation:
        """Cancel a message in any state. Raises Conflict for one that has ended."""
        return self.call(calls.cancel(message_id))

    def cancel_queued(self, message_id: str) -> models.CancelledQueued:
        """Cancel a message that has not begun. Raises Conflict for one that has."""
        return self.call(calls.cancel_queued(message_id))

    def cancel_all(
        self,
        filter: Mapping[str, Any] | None = None,
        *,
        message_ids: Sequence[str] | None = None,
        expected_count: int | None = None,
    ) -> models.Cancellations:
        """Cancel the unfinished messages of a filter, or with these ids. Raises Conflict unless that many match."""
        return self.call(calls.cancel_all(filter, message_ids, expected_count))

    def change_all(
        self,
        priority: str,
        filter: Mapping[str, Any] | None = None,
        *,
        message_ids: Sequence[str] | None = None,
        expected_count: int | None = None,
    ) -> models.Reprioritized:
        """Change the priority of the queued messages with these ids, or of a filter, as `cancel_all` selects them."""
        return self.call(calls.change_all(priority, filter, message_ids, expected_count))

    def resume(
        self,
        message_id: str,
        value: Any = None,
        *,
        values: Mapping[str, Any] | None = None,
        alias: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Answered:
        """Answer the agent's question with `value`, or several by their ids with `values`."""
        return self.call(calls.resume(message_id, value, values, alias, idempotency_key))

    def regenerate(
        self,
        message_id: str,
        *,
        priority: str | None = None,
        if_busy: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> models.Regenerated:
        """Answer a message anew, from the state before it."""
        body = {"priority": priority, "if_busy": if_busy, "metadata": metadata}
        return self.call(calls.regenerate(message_id, body, idempotency_key))

    def retry(self, message_id: str) -> models.RequeuedMessage:
        """Queue a failed message again. Raises Conflict for one that has not failed."""
        return self.call(calls.retry(message_id))

    # Any request

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> Reply:
        """Send any request of the API and return the raw reply, with the retries and errors of all calls.

        `repeatable` says that a second arrival changes nothing more.
        """
        given = {"query": query or {}, "body": body, "headers": headers or {}}
        call = Call(method, path, lambda reply: reply, repeatable=repeatable or method == "GET", **given)
        return self.send(call)

    def call(self, call: Call[T], deadline: Deadline | None = None) -> T:
        """Send a call and return its result. No try begins after the deadline."""
        return call.read(self.send(call, deadline))

    def pages(self, call: Call[list[T]]) -> Pages[T]:
        """Return the pages of a call."""
        return Pages(call, self.send)

    def send(self, call: Call[Any], deadline: Deadline | None = None) -> Reply:
        """Send a call, again if that may help, and return the reply. No try begins after the deadline."""
        tries, request = Tries(call, self._config, deadline), to_request(call, self._config)
        while True:
            step = tries.judge(self._transport.send(request, tries.seconds))
            if isinstance(step, Reply):
                return step
            time.sleep(step)

    @contextmanager
    def opened(self, call: Call[Any], deadline: Deadline, *, silence: float) -> Iterator[OpenReply]:
        """Open the stream of a call, once. `silence` is the longest pause in seconds, until the deadline."""
        request, connect = to_request(call, self._config), deadline.limit(self._config.timeout)
        with self._transport.opened(request, connect=connect, read=deadline.limit(silence)) as reply:
            yield reply
