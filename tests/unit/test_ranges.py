"""Ranges of numbers, against plain lists and sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from app.checkpoints.ranges import cut, from_json, joined, numbers_in, packed, union, without

NUMBERS = st.lists(st.integers(0, 30), max_size=30)


@given(NUMBERS)
def test_packed_numbers_are_the_same_in_their_order(numbers: list[int]) -> None:
    assert list(numbers_in(packed(numbers))) == numbers


@given(NUMBERS, st.integers(0, 35), st.integers(0, 35))
def test_a_cut_is_a_slice(numbers: list[int], start: int, stop: int) -> None:
    assert list(numbers_in(cut(packed(numbers), start, stop))) == numbers[start:stop]


@given(NUMBERS, NUMBERS)
def test_joined_ranges_are_the_numbers_one_after_the_other(one: list[int], other: list[int]) -> None:
    assert list(numbers_in(joined(packed(one), packed(other)))) == one + other


@given(st.lists(NUMBERS, max_size=5))
def test_a_union_has_every_number_once(lists: list[list[int]]) -> None:
    found = union(map(packed, lists))
    assert list(numbers_in(found)) == sorted({number for each in lists for number in each})
    assert joined(found) == found


@given(NUMBERS, NUMBERS)
def test_without_leaves_what_only_the_first_has(one: list[int], other: list[int]) -> None:
    found = without(union([packed(one)]), union([packed(other)]))
    assert list(numbers_in(found)) == sorted(set(one) - set(other))


def test_an_appended_list_is_one_range() -> None:
    assert packed(range(2_000)) == ((0, 2_000),)
    assert from_json([[0, 2_000]]) == ((0, 2_000),)
