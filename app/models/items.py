"""Items that agents keep across threads, by namespace and key. Plain data, without LangGraph's classes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

SEPARATOR = "\x01"
"""Stands around each label in the text of a namespace. It sorts before every character that a label may have."""

_BEHIND_SEPARATOR = "\x02"

SUBJECTS = "subjects"
"""The first label of the namespaces of end users."""

MAX_TTL_MINUTES = 100 * 366 * 24 * 60

Namespace = tuple[str, ...]
"""The labels of a namespace, the outermost first."""


def namespace_text(labels: Sequence[str]) -> str:
    """Return a namespace as stores keep it. Texts sort as their tuples of labels do."""
    return SEPARATOR + "".join(f"{label}{SEPARATOR}" for label in labels)


def labels_of(text: str) -> Namespace:
    """Return the labels of a namespace from its text."""
    return tuple(text[1:-1].split(SEPARATOR)) if len(text) > 1 else ()


def end_of(text: str) -> str:
    """Return the first text behind a namespace and all namespaces inside of it."""
    return text[:-1] + _BEHIND_SEPARATOR


def own_namespace(subject: str) -> Namespace:
    """Return the namespace of an end user. Periods and `*`, which have a meaning there, are written as in a URL."""
    return SUBJECTS, subject.replace("%", "%25").replace(".", "%2E").replace("*", "%2A")


class ItemName(NamedTuple):
    """The namespace and the key of an item."""

    namespace: Namespace
    key: str


class Item(NamedTuple):
    """An item as it is stored. `value` is the JSON of an object. `ttl_ms` is None for an item that does not expire."""

    namespace: Namespace
    key: str
    value: str
    created_at: datetime
    updated_at: datetime
    ttl_ms: int | None

    @property
    def name(self) -> ItemName:
        """Return the namespace and the key."""
        return ItemName(self.namespace, self.key)


class ItemWrite(NamedTuple):
    """An item to store, or to delete if `value` is None. It expires `ttl_ms` after its last use, with None never."""

    namespace: Namespace
    key: str
    value: str | None
    ttl_ms: int | None = None

    @property
    def name(self) -> ItemName:
        """Return the namespace and the key."""
        return ItemName(self.namespace, self.key)


class Condition(NamedTuple):
    """A condition on the part of a value that `path` names: keys of objects, indexes of lists.

    - `absent` means that the part is null or missing, `null` that it is null.
    - `true`, `false` and `object` name what the part is.
    - `object_of` and `list_of` compare its length with `number`.
    - `number` and `text` compare the part by `operator` with the field of that name. A part of another type never
      matches. Numbers are compared as double-precision floats, texts by code points.
    """

    path: tuple[str | int, ...]
    kind: Literal["absent", "null", "true", "false", "object", "object_of", "list_of", "number", "text"]
    operator: Literal["=", "<", "<=", ">", ">="] = "="
    number: float | None = None
    text: str | None = None


class ConditionGroup(NamedTuple):
    """Conditions that must all hold; with `negated`, at least one must not hold."""

    conditions: tuple[Condition, ...]
    negated: bool = False


class ItemSearch(NamedTuple):
    """A page of the items in a namespace and inside of it. All groups of `filter` must hold."""

    prefix: Namespace
    filter: tuple[ConditionGroup, ...] = ()
    limit: int = 10
    offset: int = 0


ANY_LABEL = "*"
"""In a NamespaceMatch: any one label."""


class NamespaceMatch(NamedTuple):
    """The labels with which a namespace begins (`prefix`) or ends (`suffix`)."""

    side: Literal["prefix", "suffix"]
    labels: Namespace


class NamespaceListing(NamedTuple):
    """A page of the namespaces that match all of `matches`, cut to `max_depth` labels, each once."""

    matches: tuple[NamespaceMatch, ...] = ()
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0


class ItemTtl(NamedTuple):
    """The expiry of items: the default time to live in minutes, None for never, and whether reads begin it again."""

    default_minutes: float | None = None
    refresh_on_read: bool = True


NEVER_EXPIRES = ItemTtl()
