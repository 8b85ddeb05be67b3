"""Code that all engines share for items: pages of namespaces, and the last of several writes."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from ..models.items import (
    ANY_LABEL,
    Item,
    ItemWrite,
    Namespace,
    NamespaceListing,
    NamespaceMatch,
    end_of,
    labels_of,
    namespace_text,
)
from .ports import ItemStore

NAMESPACES_AT_ONCE = 500
"""Maximum number of namespaces that a store reads at once."""


class NamespaceRange(NamedTuple):
    """A query for up to `limit` namespaces, with texts from `begin` up to, but not including, `end`."""

    begin: str
    end: str
    limit: int


def last_writes(writes: Sequence[ItemWrite]) -> list[ItemWrite]:
    """Return the last write of each item. They are sorted, so that processes lock items in one order."""
    return sorted({each.name: each for each in writes}.values(), key=_place)


async def find_namespaces(
    read: Callable[[NamespaceRange], Awaitable[Sequence[str]]], listing: NamespaceListing
) -> list[Namespace]:
    """Return a page of namespaces. `read` returns the texts of namespaces in a range, in order."""
    found: list[Namespace] = []
    last: Namespace | None = None
    left = listing.offset
    begin, end = _bounds(listing.matches)
    while len(found) < listing.limit:
        texts = await read(NamespaceRange(begin, end, NAMESPACES_AT_ONCE))
        for text in texts:
            begin = f"{text}\x01"  # behind this namespace, before those inside of it
            labels = labels_of(text)
            if not all(_fits(labels, each) for each in listing.matches):
                continue
            shown = labels[: listing.max_depth]
            if len(shown) < len(labels):
                begin = end_of(namespace_text(shown))
            if shown == last:
                continue
            last, left = shown, left - 1
            if left < 0:
                found.append(shown)
            if len(found) == listing.limit:
                break
        if len(texts) < NAMESPACES_AT_ONCE:
            break
    return found


def _place(write: ItemWrite) -> tuple[bytes, bytes]:
    return namespace_text(write.namespace).encode(), write.key.encode()


def _bounds(matches: Sequence[NamespaceMatch]) -> tuple[str, str]:
    """Return the range of texts that has all namespaces with these prefixes."""
    begin = namespace_text(())
    for match in matches:
        if match.side == "prefix":
            known = match.labels[: match.labels.index(ANY_LABEL)] if ANY_LABEL in match.labels else match.labels
            begin = max(begin, namespace_text(known), key=len)
    return begin, end_of(begin)


def _fits(labels: Namespace, match: NamespaceMatch) -> bool:
    count = len(match.labels)
    if len(labels) < count:
        return False
    part = labels[:count] if match.side == "prefix" else labels[len(labels) - count :]
    return all(wanted in (ANY_LABEL, label) for label, wanted in zip(part, match.labels, strict=True))


async def refresh_read(store: ItemStore, tenant: str, items: Iterable[Item | None]) -> None:
    """Let the time to live of items that were read begin again."""
    expiring = [each.name for each in items if each is not None and each.ttl_ms is not None]
    if expiring:
        await store.refresh_items(tenant, expiring)
