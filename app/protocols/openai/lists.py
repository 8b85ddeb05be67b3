"""Lists in the form of OpenAI's clients, which page by the id of an item."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Depends, Query


class ListPage(NamedTuple):
    """The page that a client asks for: up to `limit` items behind the item `after`."""

    limit: Annotated[int, Query(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    include: Annotated[list[str] | None, Query()] = None

    def of(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the page of items that are in the order of the list. An unknown `after` gives an empty page."""
        ids = [item["id"] for item in items]
        start = 0
        if self.after is not None:
            start = ids.index(self.after) + 1 if self.after in ids else len(ids)
        shown = items[start : start + self.limit]
        return {
            "object": "list",
            "data": shown,
            "has_more": start + len(shown) < len(items),
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
        }


ListPageDep = Annotated[ListPage, Depends()]
