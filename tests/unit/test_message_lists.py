"""Lists of messages that are stored message by message, against plain lists of their texts."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from app.checkpoints.known_lists import (
    MIN_CONVERSATIONS,
    Conversation,
    KnownConversations,
    Numbering,
    SplitValues,
    StoredLists,
)
from app.checkpoints.message_lists import CHECKED, MAX_RANGES, NOTHING_KNOWN, KnownList, is_message_list, split
from app.checkpoints.ranges import numbers_in, union
from app.checkpoints.serializer import Serializer
from app.errors import StateUnreadable

SERIALIZER = Serializer()
dump, load = SERIALIZER.dumps_typed, SERIALIZER.loads_typed


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


class Memory:
    """The part that all processes share: a numbering, messages by their numbers, and checkpoints."""

    def __init__(self) -> None:
        self.next = 0
        self.messages: dict[int, tuple[str, bytes]] = {}
        self.checkpoints: list[tuple[StoredLists, list[str]]] = []

    def save(self, process: Conversation, messages: list[AnyMessage]) -> SplitValues:
        found = process.split("", {"messages": messages}, Numbering(1, self.next), dump)
        assert self.messages.keys().isdisjoint(found.added)
        assert all(number >= self.next for number in found.added)
        self.messages |= found.added
        self.next = found.next_number
        assert found.stored is not None
        self.checkpoints.append((found.stored, texts(messages)))
        process.keep("", found)
        return found

    def read(self, process: Conversation, stored: StoredLists) -> list[AnyMessage]:
        reading = process.begin_read("", stored)
        return reading.end({number: self.messages[number] for number in numbers_in(reading.missing)}, load)["messages"]

    def prune(self, kept: int) -> None:
        self.checkpoints = self.checkpoints[-kept:]
        self.drop_unused()

    def roll_back(self, steps: int) -> None:
        del self.checkpoints[-steps:]
        self.drop_unused()

    def drop_unused(self) -> None:
        numbers = set(numbers_in(union(stored.numbers for stored, _ in self.checkpoints)))
        self.messages = {number: each for number, each in self.messages.items() if number in numbers}


class Lists(RuleBasedStateMachine):
    """Two processes change one conversation by turns. Each reads the end of the conversation first."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.processes = [Conversation(), Conversation()]
        self.process = self.processes[0]
        self.messages: list[AnyMessage] = []
        self.count = 0

    def new(self) -> AnyMessage:
        self.count += 1
        return (HumanMessage if self.count % 2 else AIMessage)(f"message {self.count}")

    @initialize()
    def begin(self) -> None:
        self.messages = [self.new()]
        self.memory.save(self.process, self.messages)

    @rule(number=st.integers(1, 12))
    def append(self, number: int) -> None:
        self.messages = [*self.messages, *(self.new() for _ in range(number))]

    @rule(place=st.integers(0, 100))
    def replace(self, place: int) -> None:
        place %= len(self.messages)
        self.messages = [*self.messages[:place], self.new(), *self.messages[place + 1 :]]

    @precondition(lambda self: len(self.messages) > 1)
    @rule(place=st.integers(0, 100))
    def remove(self, place: int) -> None:
        place %= len(self.messages)
        self.messages = [*self.messages[:place], *self.messages[place + 1 :]]

    @rule(kept=st.integers(1, 5))
    def trim(self, kept: int) -> None:
        self.messages = self.messages[-kept:]

    @rule(place=st.integers(1, CHECKED))
    def change_a_new_one_in_place(self, place: int) -> None:
        changed: Any = self.messages[-min(place, len(self.messages))]
        changed.content += " changed"

    @rule(place=st.integers(0, 100))
    def change_an_old_one_in_place_and_write_it(self, place: int) -> None:
        changed: Any = self.messages[place % len(self.messages)]
        changed.content += " changed"
        self.process.note_writes("", [("messages", [changed])])

    @rule()
    def save(self) -> None:
        self.memory.save(self.process, self.messages)
        self.messages = list(self.messages)  # a run may change its list in place

    @rule(other=st.booleans())
    def read(self, other: bool) -> None:
        self.memory.save(self.process, self.messages)
        self.process = self.processes[other]
        self.messages = self.memory.read(self.process, self.memory.checkpoints[-1][0])

    @precondition(lambda self: len(self.memory.checkpoints) > 1)
    @rule(steps=st.integers(1, 5), forgets=st.booleans())
    def roll_back(self, steps: int, forgets: bool) -> None:
        self.memory.roll_back(min(steps, len(self.memory.checkpoints) - 1))
        if forgets:  # else the messages before the rollback stay known
            self.processes = [Conversation(), Conversation()]
        else:
            self.processes[self.processes.index(self.process)] = Conversation()  # its messages may have changed
        self.process = self.processes[0]
        self.messages = self.memory.read(self.process, self.memory.checkpoints[-1][0])

    @rule(kept=st.integers(1, 5))
    def begin_turn(self, kept: int) -> None:
        self.memory.save(self.process, self.messages)
        self.memory.prune(kept)

    @rule()
    def fork(self) -> None:
        self.processes[self.processes.index(self.process)] = Conversation()  # its messages may have changed
        self.process = self.processes[0]
        self.messages = self.memory.read(self.process, self.memory.checkpoints[0][0])

    @invariant()
    def every_checkpoint_is_whole(self) -> None:
        for stored, expected in self.memory.checkpoints:
            assert texts(self.memory.read(Conversation(), stored)) == expected

    @invariant()
    def a_process_reads_what_a_new_one_reads(self) -> None:
        if self.memory.checkpoints:
            stored, expected = self.memory.checkpoints[-1]
            for process in self.processes:
                if process is not self.process:
                    assert texts(self.memory.read(process, stored)) == expected


Lists.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestLists = Lists.TestCase


def messages(number: int, first: int = 0) -> list[AnyMessage]:
    return [HumanMessage(f"message {first + each}") for each in range(number)]


def test_an_appended_message_is_stored_alone() -> None:
    memory, process, found = Memory(), Conversation(), messages(1_000)
    memory.save(process, found)
    saved = memory.save(process, [*found, HumanMessage("new")])
    assert list(saved.added) == [1_000]
    assert saved.lists["messages"].ranges == ((0, 1_001),)


def test_what_was_read_is_not_stored_again() -> None:
    memory, process = Memory(), Conversation()
    memory.save(Conversation(), messages(1_000))
    read = memory.read(process, memory.checkpoints[0][0])
    assert memory.save(process, [*read, HumanMessage("new")]).added.keys() == {1_000}


def test_only_the_messages_of_the_other_process_are_read() -> None:
    memory, one, other = Memory(), Conversation(), Conversation()
    memory.save(one, messages(100))
    read = memory.read(other, memory.checkpoints[-1][0])
    memory.save(other, [*read, HumanMessage("new")])
    assert one.begin_read("", memory.checkpoints[-1][0]).missing == ((100, 101),)


def test_a_list_written_whole_is_compared_and_not_stored_again() -> None:
    """A subgraph returns all messages of the conversation."""
    memory, process, found = Memory(), Conversation(), messages(100)
    memory.save(process, found)
    process.note_writes("", [("messages", found)])
    assert memory.save(process, list(found)).added == {}


def test_a_subgraph_that_begins_with_the_conversation_stores_only_what_it_adds() -> None:
    memory, process, found = Memory(), Conversation(), messages(100)
    memory.save(process, found)
    values = {"messages": [*found, HumanMessage("new")]}
    inner = process.split("node:task", values, Numbering(1, memory.next), dump)
    assert list(inner.added) == [100]


def test_too_many_ranges_give_all_messages_new_numbers_once() -> None:
    memory, process, found = Memory(), Conversation(), messages(3 * MAX_RANGES)
    memory.save(process, found)
    saved = memory.save(process, found[::2])
    assert saved.lists["messages"].ranges == ((len(found), len(found) + len(found[::2])),)
    assert memory.save(process, [*found[::2], HumanMessage("new")]).added.keys() == {memory.next - 1}


def test_another_numbering_is_another_conversation() -> None:
    """The conversation was deleted, and another process has begun a new one under its name."""
    memory, process = Memory(), Conversation()
    memory.save(process, messages(3))
    again = Memory()
    stored = StoredLists(2, {"messages": ((0, 2),)})
    again.messages = dict(enumerate(map(dump, messages(2, first=7))))
    reading = process.begin_read("", stored)
    assert reading.missing == ((0, 2),)
    assert texts(reading.end(again.messages, load)["messages"]) == ["message 7", "message 8"]


def test_a_missing_message_is_an_error() -> None:
    with pytest.raises(StateUnreadable, match="number 1 is missing"):
        Conversation().begin_read("", StoredLists(1, {"messages": ((0, 2),)})).end({0: dump(HumanMessage("a"))}, load)


@pytest.mark.parametrize("value", [[], ["text"], (HumanMessage("a"),), {"a": 1}, None, [1, HumanMessage("a")]])
def test_other_values_are_stored_whole(value: object) -> None:
    assert not is_message_list(value)


def test_a_list_may_hold_a_message_twice() -> None:
    twice = HumanMessage("twice")
    found = split([twice, twice], NOTHING_KNOWN, 0, dump)
    known: Mapping[int, Any] = found.added
    assert [load(known[number]).content for number in numbers_in(found.known.ranges)] == ["twice", "twice"]
    assert split([twice, twice, twice], KnownList([twice], ((0, 1),), [hash(dump(twice))]), 1, dump).added == {}


# Known conversations


def known(conversations: KnownConversations, key: str, number: int) -> Conversation:
    found = conversations.of(key)
    found.keep("", found.split("", {"messages": messages(number)}, Numbering(1, 0), dump))
    return found


def test_the_conversations_not_used_for_long_are_dropped() -> None:
    conversations = KnownConversations(max_messages=100)
    kept = []
    for number in range(MIN_CONVERSATIONS + 3):
        kept.append(known(conversations, f"{number}", 20))
        conversations.shrink(f"{number}")
    assert [conversations.of(f"{number}") is each for number, each in enumerate(kept)][:3] == [False] * 3
    assert all(conversations.of(f"{number}") is each for number, each in enumerate(kept[3:], 3))


def test_an_attempt_after_a_failed_one_knows_nothing() -> None:
    """The failed attempt may have changed messages in place."""
    conversations = KnownConversations()
    first = conversations.of("key", (7, 1))
    assert conversations.of("key", (7, 1)) is first
    assert conversations.of("key") is first
    second = conversations.of("key", (7, 2))
    assert second is not first
    assert conversations.of("key", (8, 1)) is second
    conversations.drop(["key", "unknown"])
    assert conversations.of("key", (8, 1)) is not second


def test_the_lists_of_earlier_turns_subgraphs_are_forgotten() -> None:
    conversation = Conversation()
    for namespace in ("", "stateful", "node:task"):
        saved = conversation.split(
            namespace, {"messages": messages(3)}, conversation.numbering or Numbering(1, 0), dump
        )
        conversation.keep(namespace, saved)
    assert len(conversation) == 9
    conversation.begin_turn()
    assert len(conversation) == 6
