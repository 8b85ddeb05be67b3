"""The calls about items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from .. import models
from ..core.requests import Call
from ..models.base import list_reader, reader, text_lists
from .fields import given_of, nothing


def labels(namespace: Sequence[str]) -> list[str]:
    """Return the labels of a namespace. A text is one label."""
    return [namespace] if isinstance(namespace, str) else list(namespace)


def put_item(
    namespace: Sequence[str], key: str, value: Mapping[str, Any], ttl_minutes: float | Literal["never"] | None
) -> Call[None]:
    """Return the call of `PUT /store/items`."""
    body: dict[str, Any] = {"namespace": labels(namespace), "key": key, "value": dict(value)}
    if ttl_minutes is not None:
        body["ttl"] = None if ttl_minutes == "never" else ttl_minutes
    return Call("PUT", "/store/items", nothing, body=body)


def item(namespace: Sequence[str], key: str, refresh_ttl: bool | None) -> Call[models.Item]:
    """Return the call of `GET /store/items`."""
    query = {"namespace": ".".join(labels(namespace)), "key": key, "refresh_ttl": refresh_ttl}
    return Call("GET", "/store/items", reader(models.Item), query=query)


def delete_item(namespace: Sequence[str], key: str) -> Call[None]:
    """Return the call of `DELETE /store/items`."""
    return Call("DELETE", "/store/items", nothing, body={"namespace": labels(namespace), "key": key})


def search_items(namespace: Sequence[str], body: Mapping[str, Any]) -> Call[list[models.Item]]:
    """Return the call of `POST /store/items/search`."""
    given = {"namespace_prefix": labels(namespace), **given_of(body)}
    read = list_reader(models.Item, "items")
    return Call("POST", "/store/items/search", read, body=given, next_page=_with_offset)


def namespaces(
    prefix: Sequence[str] | None, suffix: Sequence[str] | None, body: Mapping[str, Any]
) -> Call[list[tuple[str, ...]]]:
    """Return the call of `POST /store/namespaces`."""
    ends = {"prefix": prefix, "suffix": suffix}
    given = {name: labels(each) for name, each in ends.items() if each is not None}
    read = text_lists("namespaces")
    return Call("POST", "/store/namespaces", read, body={**given, **given_of(body)}, next_page=_with_offset)


def _with_offset(call: Call[list[Any]], page: list[Any]) -> Call[list[Any]] | None:
    """Return the call of the entries behind a page, None after an empty one."""
    if not page:
        return None
    return replace(call, body={**call.body, "offset": call.body.get("offset", 0) + len(page)})
