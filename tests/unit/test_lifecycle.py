"""The life of a message as a table."""

import pytest

from app.models.messages import MessageState
from app.policy.lifecycle import TERMINAL, TRANSITIONS, as_mermaid, is_allowed


def reachable(source: MessageState | None) -> set[MessageState]:
    """Every state that may come after this one, at once or later."""
    found: set[MessageState] = set()
    todo = [source]
    while todo:
        here = todo.pop()
        following = {t.target for t in TRANSITIONS if t.source is here} - found
        found |= following
        todo += following
    return found


def test_every_state_can_be_reached() -> None:
    assert reachable(None) == set(MessageState)


def test_every_message_can_end() -> None:
    for state in set(MessageState) - TERMINAL:
        assert reachable(state) >= TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL - {MessageState.FAILED}))
def test_an_end_is_for_ever(state: MessageState) -> None:
    assert reachable(state) == set()


def test_of_the_ends_only_a_failure_has_a_way_out_which_an_operator_takes() -> None:
    assert {state for state in MessageState if not reachable(state)} == TERMINAL - {MessageState.FAILED}
    ways = [(t.target, t.reason) for t in TRANSITIONS if t.source is MessageState.FAILED]
    assert ways == [(MessageState.QUEUED, "requeued by an operator")]


def test_a_message_begins_queued() -> None:
    assert [t.target for t in TRANSITIONS if t.source is None] == [MessageState.QUEUED]


def test_only_what_the_table_has_is_allowed() -> None:
    states = [None, *MessageState]
    allowed = {(source, target) for source in states for target in MessageState if is_allowed(source, target)}
    assert allowed == {(transition.source, transition.target) for transition in TRANSITIONS}
    assert (MessageState.CANCELLED, MessageState.QUEUED) not in allowed


def test_no_message_is_completed_without_being_processed() -> None:
    assert {t.source for t in TRANSITIONS if t.target is MessageState.COMPLETED} == {MessageState.PROCESSING}


def test_each_transition_stands_once_and_has_a_reason() -> None:
    assert len({(t.source, t.target) for t in TRANSITIONS}) == len(TRANSITIONS)
    assert all(t.reason.strip() == t.reason != "" for t in TRANSITIONS)


def test_the_drawing_has_a_line_for_each_transition_and_each_end() -> None:
    lines = as_mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == 1 + len(TRANSITIONS) + len(TERMINAL)
    assert "    [*] --> queued: accepted" in lines
    assert "    queued --> processing: claimed by a worker" in lines
    for state in TERMINAL:
        assert f"    {state.value} --> [*]" in lines
    assert "None" not in as_mermaid()
