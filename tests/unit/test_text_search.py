"""The part of a text that engines look for: no message that matches lacks it."""

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.text_search import FOLDED_TO_ASCII, TextSearch


def every_character() -> Iterator[str]:
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def test_the_characters_that_fold_to_ascii_are_known() -> None:
    folding = (c for c in every_character() if not c.isascii() and any(map(str.isascii, c.casefold())))
    assert "".join(folding) == FOLDED_TO_ASCII


def test_no_character_folds_to_a_letter_without_case() -> None:
    folded = {each for c in every_character() if c.casefold() != c for each in c.casefold()}
    assert not any(unicodedata.category(each) == "Lo" for each in folded)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Needle", "needle"),
        ('say "hello" now', "hello"),
        ("K\u00d6LN", "ln"),
        ("\u6771\u4eac", "\u6771\u4eac"),
        ("Stra\u00dfe", "strasse"),
        ('"\\', None),
        ("\u00e9", None),
    ],
)
def test_the_longest_part_that_engines_can_find_is_the_hint(text: str, hint: str | None) -> None:
    assert TextSearch(text).hint == hint


@given(st.text(max_size=20), st.data())
def test_a_text_that_matches_has_the_hint_or_a_character_that_folds(content: str, data: st.DataObject) -> None:
    folded = content.casefold()
    start = data.draw(st.integers(0, len(folded)))
    hint = TextSearch(folded[start : data.draw(st.integers(start, len(folded)))]).hint
    lowered = "".join(c.lower() if c.isascii() else c for c in content)
    assert hint is None or hint in lowered or any(c in FOLDED_TO_ASCII for c in content)
