"""The calls of the API as data. Both clients send them, and read nothing that is not described here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import models
from .core.replies import Reply
from .core.requests import Call, segment
from .errors import ConfigurationError, UnexpectedReply
from .events import StreamEvent, to_event
from .models import list_reader, reader
from .options import BatchMessage, Text, to_body


def nothing(_: Reply) -> None:
    """Read a reply without a body."""


def once(idempotency_key: str | None) -> dict[str, str]:
    """Return the header of a key that the caller has chosen."""
    return {} if idempotency_key is None else {"idempotency-key": idempotency_key}


def message_path(message_id: str, verb: str = "") -> str:
    """Return the path of a message, or of a verb on it."""
    return f"/messages/{segment(message_id)}{verb}"


def thread_path(thread_id: str, verb: str = "") -> str:
    """Return the path of a thread, or of a verb on it."""
    return f"/threads/{segment(thread_id)}{verb}"


def submit(message: Text | None, options: Mapping[str, Any], key: str | None) -> Call[models.Accepted]:
    """Return the call of `POST /messages`."""
    return Call("POST", "/messages", reader(models.Accepted), body=to_body(message, options), headers=once(key))


def submit_batch(messages: Iterable[BatchMessage | str], key: str | None) -> Call[list[models.Accepted]]:
    """Return the call of `POST /messages/batch`."""
    bodies = [to_body(each, {}) if isinstance(each, str) else to_body(None, each) for each in messages]
    read = list_reader(models.Accepted, "messages")
    return Call("POST", "/messages/batch", read, body={"messages": bodies}, headers=once(key))


def status(message_id: str) -> Call[models.Message]:
    """Return the call of `GET /messages/{message_id}/status`."""
    return Call("GET", message_path(message_id, "/status"), reader(models.Message))


def message(message_id: str) -> Call[models.MessageDetails]:
    """Return the call of `GET /messages/{message_id}`."""
    return Call("GET", message_path(message_id), reader(models.MessageDetails))


def messages(query: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> Call[list[models.Message]]:
    """Return the call of `GET /messages`."""
    by_metadata = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
    return Call("GET", "/messages", list_reader(models.Message, "messages"), query={**query, **by_metadata})


def stored_events(message_id: str, query: Mapping[str, Any]) -> Call[list[StreamEvent]]:
    """Return the call of `GET /messages/{message_id}/events`."""

    def read(reply: Reply) -> list[StreamEvent]:
        try:
            return [to_event(each["type"], each["id"], each["data"]) for each in reply.json()["events"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedReply(f"The reply is no list of events: {error!r}.", request_id=reply.request_id) from error

    return Call("GET", message_path(message_id, "/events"), read, query=query)


def change_priority(message_id: str, priority: str) -> Call[models.Message]:
    """Return the call of `PATCH /messages/{message_id}`."""
    return Call("PATCH", message_path(message_id), reader(models.Message), body={"priority": priority})


def cancel(message_id: str) -> Call[models.Cancellation]:
    """Return the call of `POST /messages/{message_id}/cancel`."""
    return Call("POST", message_path(message_id, "/cancel"), reader(models.Cancellation))


def cancel_all(filter: Mapping[str, Any], expected_count: int) -> Call[models.Cancellations]:
    """Return the call of `POST /messages/cancel`."""
    body = {"filter": dict(filter), "expected_count": expected_count}
    return Call("POST", "/messages/cancel", reader(models.Cancellations), body=body, repeatable=False)


def resume(
    message_id: str, value: Any, values: Mapping[str, Any] | None, alias: str | None, key: str | None
) -> Call[models.Answered]:
    """Return the call of `POST /messages/{message_id}/resume`."""
    body: dict[str, Any] = {"value": value} if values is None else {"values": dict(values)}
    if values is not None and value is not None:
        raise ConfigurationError("Both `value` and `values` were given.", cure="Give one of them.")
    if alias is not None:
        body["alias"] = alias
    return Call("POST", message_path(message_id, "/resume"), reader(models.Answered), body=body, headers=once(key))


def regenerate(message_id: str, body: Mapping[str, Any], key: str | None) -> Call[models.Regenerated]:
    """Return the call of `POST /messages/{message_id}/regenerate`."""
    given = {name: value for name, value in body.items() if value is not None}
    read = reader(models.Regenerated)
    return Call("POST", message_path(message_id, "/regenerate"), read, body=given, headers=once(key))


def retry(message_id: str) -> Call[models.Accepted]:
    """Return the call of `POST /messages/{message_id}/retry`."""
    return Call("POST", message_path(message_id, "/retry"), reader(models.Accepted), repeatable=False)


def deliveries(query: Mapping[str, Any]) -> Call[list[models.Delivery]]:
    """Return the call of `GET /deliveries`."""
    return Call("GET", "/deliveries", list_reader(models.Delivery, "deliveries"), query=query)


def replay(delivery_id: str) -> Call[models.Delivery]:
    """Return the call of `POST /deliveries/{delivery_id}/replay`."""
    path = f"/deliveries/{segment(delivery_id)}/replay"
    return Call("POST", path, reader(models.Delivery), repeatable=False)


def dead_letters(query: Mapping[str, Any]) -> Call[list[models.DeadLetter]]:
    """Return the call of `GET /dead-letters`."""
    return Call("GET", "/dead-letters", list_reader(models.DeadLetter, "dead_letters"), query=query)


def dead_letter_groups(limit: int | None) -> Call[list[models.DeadLetterGroup]]:
    """Return the call of `GET /dead-letters/groups`."""
    read = list_reader(models.DeadLetterGroup, "groups")
    return Call("GET", "/dead-letters/groups", read, query={"limit": limit})


def _selection(
    message_ids: Sequence[str] | None, filter: Mapping[str, Any] | None, expected_count: int | None
) -> dict[str, Any]:
    if (message_ids is None) == (filter is None):
        raise ConfigurationError("Give either `message_ids`, or `filter` with `expected_count`.")
    if message_ids is not None:
        return {"message_ids": list(message_ids)}
    return {"filter": dict(filter or {}), "expected_count": expected_count}


def requeue(
    message_ids: Sequence[str] | None, filter: Mapping[str, Any] | None, expected_count: int | None
) -> Call[models.Requeued]:
    """Return the call of `POST /dead-letters/requeue`."""
    body = _selection(message_ids, filter, expected_count)
    return Call("POST", "/dead-letters/requeue", reader(models.Requeued), body=body, repeatable=False)


def purge(
    message_ids: Sequence[str] | None, filter: Mapping[str, Any] | None, expected_count: int | None
) -> Call[models.Purged]:
    """Return the call of `POST /dead-letters/purge`."""
    body = _selection(message_ids, filter, expected_count)
    return Call("POST", "/dead-letters/purge", reader(models.Purged), body=body, repeatable=False)


def threads(query: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> Call[list[models.Thread]]:
    """Return the call of `GET /threads`."""
    by_metadata = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
    return Call("GET", "/threads", list_reader(models.Thread), query={**query, **by_metadata})


def create_thread(body: Mapping[str, Any], key: str | None) -> Call[models.Thread]:
    """Return the call of `POST /threads`."""
    given = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/threads", reader(models.Thread), body=given, headers=once(key))


def thread(thread_id: str) -> Call[models.Thread]:
    """Return the call of `GET /threads/{thread_id}`."""
    return Call("GET", thread_path(thread_id), reader(models.Thread))


def change_thread(thread_id: str, body: Mapping[str, Any]) -> Call[models.Thread]:
    """Return the call of `PATCH /threads/{thread_id}`."""
    return Call("PATCH", thread_path(thread_id), reader(models.Thread), body=dict(body))


def delete_thread(thread_id: str) -> Call[None]:
    """Return the call of `DELETE /threads/{thread_id}`."""
    return Call("DELETE", thread_path(thread_id), nothing, repeatable=False)


def thread_messages(thread_id: str, limit: int | None) -> Call[list[models.Message]]:
    """Return the call of `GET /threads/{thread_id}/messages`."""
    read = list_reader(models.Message, "messages")
    return Call("GET", thread_path(thread_id, "/messages"), read, query={"limit": limit})


def fork(thread_id: str, body: Mapping[str, Any]) -> Call[models.Thread]:
    """Return the call of `POST /threads/{thread_id}/fork`."""
    given = {name: value for name, value in body.items() if value is not None}
    return Call("POST", thread_path(thread_id, "/fork"), reader(models.Thread), body=given, repeatable=False)


def state(thread_id: str, query: Mapping[str, Any]) -> Call[models.ThreadState]:
    """Return the call of `GET /threads/{thread_id}/state`."""
    return Call("GET", thread_path(thread_id, "/state"), reader(models.ThreadState), query=query)


def update_state(thread_id: str, body: Mapping[str, Any]) -> Call[models.StateUpdated]:
    """Return the call of `POST /threads/{thread_id}/state`."""
    path, read = thread_path(thread_id, "/state"), reader(models.StateUpdated)
    return Call("POST", path, read, body=dict(body), repeatable=False)


def history(thread_id: str, query: Mapping[str, Any]) -> Call[list[models.ThreadState]]:
    """Return the call of `GET /threads/{thread_id}/history`."""
    return Call("GET", thread_path(thread_id, "/history"), list_reader(models.ThreadState, "states"), query=query)


def queue(limit: int | None) -> Call[models.QueueState]:
    """Return the call of `GET /queue`."""
    return Call("GET", "/queue", reader(models.QueueState), query={"limit": limit})


def pause(*, paused: bool) -> Call[models.QueuePaused]:
    """Return the call of `POST /queue/pause` or `POST /queue/resume`."""
    return Call("POST", "/queue/pause" if paused else "/queue/resume", reader(models.QueuePaused))


def agents() -> Call[list[models.Agent]]:
    """Return the call of `GET /agents`."""
    return Call("GET", "/agents", list_reader(models.Agent, "agents"))


def usage(query: Mapping[str, Any]) -> Call[list[models.UsageRow]]:
    """Return the call of `GET /usage`."""
    return Call("GET", "/usage", list_reader(models.UsageRow, "rows"), query=query)


def create_token(body: Mapping[str, Any]) -> Call[models.Token]:
    """Return the call of `POST /tokens`."""
    given = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/tokens", reader(models.Token), body=given)


def create_ticket(message_id: str | None) -> Call[models.Ticket]:
    """Return the call of `POST /tickets`."""
    body = {} if message_id is None else {"message_id": message_id}
    return Call("POST", "/tickets", reader(models.Ticket), body=body)


def health() -> Call[models.Health]:
    """Return the call of `GET /health`."""
    return Call("GET", "/health", reader(models.Health))
