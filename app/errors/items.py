"""The errors of items."""

from . import InvalidRequest, NotFound


class InvalidItem(InvalidRequest, ValueError):
    """The name or the value of an item cannot be stored, or a filter of items cannot be applied.

    It is a ValueError too, since LangGraph's own stores raise these.
    """

    code = "invalid_item"

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(f"{field}: {detail}", field=field)


class ItemNotFound(NotFound):
    """There is no item with this namespace and key."""

    code = "item_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no item with the key {key!r} in this namespace.")
