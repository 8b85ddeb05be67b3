"""Finds the items that an input names by their ids."""

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...errors import Forbidden, InvalidRequest, MessageNotFound, NotFound
from ...services import Services
from ..runs import find_run
from .ids import ITEM, run_in
from .input_items import input_items_of
from .response_lookup import found_response, shown_parts
from .response_projection import ITEM_PREFIXES, REASONING, finished_items
from .schemas.responses import REFERENCE, InputItem, ResponseCreate

MAX_RESPONSES = 500
"""The items of how many responses an input can name. Each one's log is read."""

Items = dict[str, dict[str, Any]]
"""The items of a response by their ids."""


class ItemNotFound(NotFound):
    """There is no such item, or it is no longer kept."""

    code = "item_not_found"

    def __init__(self, item_id: str) -> None:
        super().__init__(
            f"input: there is no item with the id {item_id!r}, or its events are no longer kept. Send the item itself, "
            "as the AI SDK does with `store: false`."
        )


async def with_items(services: Services, caller: Principal, body: ResponseCreate) -> ResponseCreate:
    """Return the body with the items in place of their ids. Raises Forbidden, ItemNotFound and InvalidRequest."""
    if AccessScope.READ not in caller.scopes and any(item.type == REFERENCE for item in body.input):
        raise Forbidden("input: ids of items need the scope `read`, which the caller does not have. Send the items.")
    runs = {run_in(str(item.id)) for item in body.input if item.type == REFERENCE} - {None}
    if len(runs) > MAX_RESPONSES:
        raise InvalidRequest(f"input: expected items of at most {MAX_RESPONSES} responses", field="input")
    found = {run_id: await _items_of(services, caller, str(run_id)) for run_id in runs}
    used: set[str] = set()
    whole: list[InputItem] = []
    for item in body.input:
        if item.type == REFERENCE:
            item_id = str(item.id)
            whole += _named(item_id, found.get(run_in(item_id)) or {}, used)
        else:
            whole.append(item)
    return body.model_copy(update={"input": whole})


async def _items_of(services: Services, caller: Principal, run_id: str) -> Items:
    """Return the items of a response that has ended; none for one that has not, or that the caller does not have."""
    try:
        run = await find_run(services, caller, run_id)
    except MessageNotFound:
        return {}
    found = await found_response(services, run)
    if found.unfinished is not None:
        return {}
    items = {item["id"]: item for item in input_items_of(run)}
    async with aclosing(shown_parts(services, caller, found)) as parts:
        async for frames, _ in parts:
            items |= {item["id"]: item for item in finished_items(frames)}
    return items


def _named(item_id: str, items: Items, used: set[str]) -> Iterator[InputItem]:
    """Yield what an id stands for: an item, or nothing for a text that an attempt did not finish.

    Once a log is deleted, the result stands for all texts of its response, once, and for the reasoning nothing does.
    Raises ItemNotFound and InvalidRequest.
    """
    item = items.get(item_id)
    if item is None and items:
        if item_id.startswith(ITEM_PREFIXES[REASONING]):
            return
        item = items.get(f"{ITEM}{run_in(item_id)}") if item_id.startswith(ITEM) else None
        if item is not None and item["id"] in used:
            return
    if item is None:
        raise ItemNotFound(item_id)
    used.add(item["id"])
    if item.get("status") == "incomplete":
        return
    try:
        yield InputItem.model_validate(item)
    except ValidationError:  # such as a message of a role that only another API takes
        raise InvalidRequest(f"input: the item {item_id!r} cannot be a part of an input", field="input") from None
