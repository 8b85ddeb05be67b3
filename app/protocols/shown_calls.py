"""The ids by which clients know the tool calls of agents. Pure.

Some models use an id again, or give none. Clients need an id of its own for each call.
"""

from collections.abc import Container
from typing import NamedTuple, TypeAlias

from rpds import HashTrieMap


class ShownCalls(NamedTuple):
    """The tool calls with one id, or without any, of one message of the agent.

    `waiting` has the ids by which unanswered calls are shown, oldest first, and `answered` that of the last answered;
    empty if there is none.
    """

    message: str
    waiting: tuple[str, ...]
    answered: str = ""


Calls: TypeAlias = "HashTrieMap[str, ShownCalls]"
"""The newest tool calls by the ids that the agent gave them."""

NO_CALLS: Calls = HashTrieMap()


def with_call(calls: Calls, event_id: int, message: str, call_id: str) -> tuple[str, Calls]:
    """Return the id by which a call of a message is shown, and all calls."""
    before = calls.get(call_id)
    shown_id = call_id if call_id and before is None else f"{call_id or 'call'}-{event_id}"
    now = ShownCalls(message, (shown_id,))
    if before is not None and before.message == message:  # they run side by side
        now = before._replace(waiting=(*before.waiting, shown_id))
    return shown_id, calls.insert(call_id, now)


def with_answer(calls: Calls, call_id: str) -> tuple[str | None, Calls]:
    """Return the id by which the call of a result is shown, None for an unknown call, and all calls.

    Calls with the same id, or without any, get their results in the order of the calls.
    """
    found = calls.get(call_id)
    if found is None:
        return None, calls
    if not found.waiting:
        return found.answered or None, calls
    shown_id, *waiting = found.waiting
    return shown_id, calls.insert(call_id, found._replace(waiting=tuple(waiting), answered=shown_id))


def has_open_calls(calls: Calls) -> bool:
    """Return whether a call has no result yet."""
    return any(each.waiting for each in calls.values())


def without_calls_of(calls: Calls, messages: Container[str]) -> Calls:
    """Return calls without those of some messages, which get no result any more. Their ids are not used again."""
    for call_id, each in list(calls.items()):
        if each.message in messages:
            calls = calls.insert(call_id, ShownCalls(each.message, ()))
    return calls
