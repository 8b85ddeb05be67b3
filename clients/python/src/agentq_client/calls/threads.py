"""The calls about threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import models
from ..core.requests import Call, segment
from ..models.base import list_reader, reader
from .fields import by_metadata, given_of, nothing, once


def thread_path(thread_id: str, verb: str = "") -> str:
    """Return the path of a thread, or of a verb on it."""
    return f"/threads/{segment(thread_id)}{verb}"


def threads(query: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> Call[list[models.Thread]]:
    """Return the call of `GET /threads`."""
    return Call("GET", "/threads", list_reader(models.Thread), query=by_metadata(query, metadata))


def create_thread(body: Mapping[str, Any], key: str | None) -> Call[models.Thread]:
    """Return the call of `POST /threads`."""
    given = given_of(body)
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
    given = given_of(body)
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
