"""Bodies of requests for items, and replies with items."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from ...models.items import Item
from ...models.types import JsonObject, Moment, Text
from .examples import CREATED, example

MAX_ITEMS = 1_000
MAX_NAMESPACES = 1_000
NAMESPACE: list[Any] = ["users", "u-17"]

Labels = Annotated[list[Text], Field(fail_fast=True, description="The labels of a namespace, the outermost first.")]
Offset = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
RefreshTtl = Annotated[
    StrictBool | None,
    Field(description="Whether the time to live begins again. Null means `refresh_on_read` of the langgraph.json."),
]


def _without_search(given: object) -> object:
    """Return null or false. Raises ValueError for all else, which needs a semantic search."""
    if given is not None and given is not False:
        raise ValueError("this server has no semantic search, so this cannot be given")
    return given


NotIndexed = Annotated[Literal[False] | None, BeforeValidator(_without_search)]
NoQuery = Annotated[str | None, AfterValidator(_without_search)]

ITEM_EXAMPLE: dict[str, Any] = {
    "namespace": NAMESPACE,
    "key": "food",
    "value": {"likes": "pasta", "since": 2024},
    "created_at": CREATED,
    "updated_at": CREATED,
}


class ItemPut(BaseModel):
    """An item to store, in place of an earlier one with its namespace and key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"namespace": NAMESPACE, "key": "food", "value": {"likes": "pasta"}}]},
    )

    namespace: Labels
    key: Text
    value: JsonObject
    index: NotIndexed = Field(default=None, description="Only false or null, since there is no semantic search.")
    ttl: Annotated[float, Field(strict=True)] | None = Field(
        default=None,
        description="Minutes without use after which the item expires; null for never. Without this field, "
        "`default_ttl` of the langgraph.json counts.",
    )


class ItemDelete(BaseModel):
    """The item to delete."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"namespace": NAMESPACE, "key": "food"}]})

    namespace: Labels
    key: Text


class ItemQuery(BaseModel):
    """A search for items in a namespace and inside of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"namespace_prefix": ["users"], "filter": {"since": {"$gte": 2020}}}]},
    )

    namespace_prefix: Labels = []
    filter: JsonObject | None = Field(
        default=None,
        description="What parts of the value must be: values, or the operators `$eq`, `$ne`, `$gt`, `$gte`, `$lt` and "
        "`$lte` with their operands.",
    )
    limit: int = Field(default=10, strict=True, ge=1, le=MAX_ITEMS)
    offset: Offset = 0
    query: NoQuery = Field(default=None, description="Only null, since there is no semantic search.")
    refresh_ttl: RefreshTtl = None


class NamespaceQuery(BaseModel):
    """A search for namespaces. `*` stands for any label."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"prefix": ["users"], "max_depth": 2}]})

    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=1_000,
        description="Namespaces are cut to this many labels, and listed once.",
    )
    limit: int = Field(default=100, strict=True, ge=1, le=MAX_NAMESPACES)
    offset: Offset = 0


class ItemView(BaseModel):
    """An item."""

    model_config = example(**ITEM_EXAMPLE)

    namespace: list[str]
    key: str
    value: dict[str, Any]
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, item: Item) -> "ItemView":
        """Return the reply for an item."""
        return cls.model_construct(
            namespace=list(item.namespace),
            key=item.key,
            value=json.loads(item.value),
            created_at=item.created_at,
            updated_at=item.updated_at,
        )


class ItemList(BaseModel):
    """A page of items, the last updated first."""

    model_config = example(items=[ITEM_EXAMPLE])

    items: list[ItemView]


class NamespaceList(BaseModel):
    """A page of namespaces in the order of their labels."""

    model_config = example(namespaces=[NAMESPACE])

    namespaces: list[list[str]]
