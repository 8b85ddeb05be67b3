"""The calls about messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import models
from ..core.replies import Reply
from ..core.requests import Call, segment
from ..errors import ConfigurationError, UnexpectedReply
from ..events import StreamEvent, to_event
from ..models.base import list_reader, reader
from ..options import BatchMessage, Text, to_body
from .fields import by_metadata, given_of, once


def message_path(message_id: str, verb: str = "") -> str:
    """Return the path of a message, or of a verb on it."""
    return f"/messages/{segment(message_id)}{verb}"


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
    return Call("GET", "/messages", list_reader(models.Message, "messages"), query=by_metadata(query, metadata))


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


def cancel_queued(message_id: str) -> Call[models.CancelledQueued]:
    """Return the call of `DELETE /messages/{message_id}`."""
    return Call("DELETE", message_path(message_id), reader(models.CancelledQueued), repeatable=False)


def _selection(
    message_ids: Sequence[str] | None, filter: Mapping[str, Any] | None, expected_count: int | None
) -> dict[str, Any]:
    if (message_ids is None) == (filter is None):
        raise ConfigurationError("Give either `filter` or `message_ids`.")
    if message_ids is not None:
        return {"message_ids": list(message_ids)}
    return {"filter": dict(filter or {}), "expected_count": expected_count}


def cancel_all(
    filter: Mapping[str, Any] | None, message_ids: Sequence[str] | None, expected_count: int | None
) -> Call[models.Cancellations]:
    """Return the call of `POST /messages/cancel`."""
    body = _selection(message_ids, filter, expected_count)
    return Call("POST", "/messages/cancel", reader(models.Cancellations), body=body, repeatable=False)


def change_all(
    priority: str, filter: Mapping[str, Any] | None, message_ids: Sequence[str] | None, expected_count: int | None
) -> Call[models.Reprioritized]:
    """Return the call of `POST /messages/priority`."""
    body = {"priority": priority, **_selection(message_ids, filter, expected_count)}
    return Call("POST", "/messages/priority", reader(models.Reprioritized), body=body, repeatable=False)


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
    given = given_of(body)
    read = reader(models.Regenerated)
    return Call("POST", message_path(message_id, "/regenerate"), read, body=given, headers=once(key))


def retry(message_id: str) -> Call[models.RequeuedMessage]:
    """Return the call of `POST /messages/{message_id}/retry`."""
    return Call("POST", message_path(message_id, "/retry"), reader(models.RequeuedMessage), repeatable=False)
