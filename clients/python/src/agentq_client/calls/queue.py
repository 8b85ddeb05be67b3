"""The calls about the queue, its workers, failed messages and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import models
from ..core.requests import Call, segment
from ..errors import ConfigurationError
from ..models.base import list_reader, reader


def queue(limit: int | None) -> Call[models.QueueState]:
    """Return the call of `GET /queue`."""
    return Call("GET", "/queue", reader(models.QueueState), query={"limit": limit})


def pause(*, paused: bool) -> Call[models.QueuePaused]:
    """Return the call of `POST /queue/pause` or `POST /queue/resume`."""
    return Call("POST", "/queue/pause" if paused else "/queue/resume", reader(models.QueuePaused))


def workers() -> Call[list[models.Worker]]:
    """Return the call of `GET /workers`."""
    return Call("GET", "/workers", list_reader(models.Worker, "workers"))


def drain_worker(worker_id: str, *, draining: bool) -> Call[models.Worker]:
    """Return the call of `POST /workers/{worker_id}/drain` or `POST /workers/{worker_id}/resume`."""
    return Call("POST", f"/workers/{segment(worker_id)}/{'drain' if draining else 'resume'}", reader(models.Worker))


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


def deliveries(query: Mapping[str, Any]) -> Call[list[models.Delivery]]:
    """Return the call of `GET /deliveries`."""
    return Call("GET", "/deliveries", list_reader(models.Delivery, "deliveries"), query=query)


def replay(delivery_id: str) -> Call[models.Delivery]:
    """Return the call of `POST /deliveries/{delivery_id}/replay`."""
    path = f"/deliveries/{segment(delivery_id)}/replay"
    return Call("POST", path, reader(models.Delivery), repeatable=False)


def message_deliveries(message_id: str) -> Call[list[models.Delivery]]:
    """Return the call of `GET /messages/{message_id}/deliveries`."""
    path = f"/messages/{segment(message_id)}/deliveries"
    return Call("GET", path, list_reader(models.Delivery, "deliveries"))
