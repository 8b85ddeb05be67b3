"""Characters whose halves or bytes come in different pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.joined_text import JoinedText, whole
from app.text import storable

GRIN = "\U0001f600"
BYTES = GRIN.encode().decode("ascii", "surrogateescape")
ALPHABET = st.one_of(st.characters(), st.sampled_from(["\x00", "\ud83d", "\ude00", *BYTES, GRIN, "é"]))


def joined(pieces: list[str]) -> list[str]:
    text = JoinedText()
    return [*map(text.add, pieces), text.end()]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Hi ", "\ud83d", "\ude00", "!"], ["Hi ", "", GRIN, "!", ""]),
        (["Hi \ud83d", "\ude00!"], ["Hi ", f"{GRIN}!", ""]),
        ([BYTES[:1], BYTES[1:3], f"{BYTES[3:]}!"], ["", "", f"{GRIN}!", ""]),
        (["\ud83d", "", "\ude00"], ["", "", GRIN, ""]),
        (["\ud83d"], ["", "?"]),
        (["\ud83d", "x"], ["", "?x", ""]),
        (["\ude00x", BYTES[:2]], ["?x", "", "??"]),
        (["a\x00b", "\udc80"], ["a\ufffdb", "?", ""]),
    ],
)
def test_the_beginning_of_a_character_waits_for_its_rest(pieces: list[str], shown: list[str]) -> None:
    assert joined(pieces) == shown


@given(st.lists(st.text(ALPHABET)))
def test_pieces_are_the_same_text_as_the_whole(pieces: list[str]) -> None:
    assert storable("".join(joined(pieces))) == whole("".join(pieces))


@given(st.text())
def test_text_without_halves_stays_as_it_is(text: str) -> None:
    assert whole(text) == text.replace("\x00", "\ufffd")
