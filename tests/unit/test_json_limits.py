"""How many values of JSON are too many, counted without parsing it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import json_limits
from app.api.json_limits import check_json_values
from app.errors import InvalidRequest

TEXTS = st.text(st.sampled_from('a,[{"\\}]\n\u00e9'), max_size=20)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(TEXTS, inner, max_size=8),
    max_leaves=60,
)


def number_of_values(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(map(number_of_values, value.values()))
        case list():
            return 1 + sum(map(number_of_values, value))
    return 1


def is_refused(text: bytes) -> bool:
    try:
        check_json_values(text)
    except InvalidRequest:
        return True
    return False


@given(value=VALUES, ascii=st.booleans(), indent=st.sampled_from([None, 1]))
def test_values_are_counted_and_texts_are_not(value: Any, ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent).encode()
    number = number_of_values(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "MAX_JSON_VALUES", 2 * number)
        assert not is_refused(text)
        patch.setattr(json_limits, "MAX_JSON_VALUES", number - 2)
        assert number < 2 or is_refused(text + b" " * number)


@pytest.mark.parametrize(
    "text", [b'"a\\', b'"a', b'"\\"', b'"' + b'\\"' * 500_000, b'"' * 1_000_001, b"\\" * 1_000_000]
)
def test_a_text_that_does_not_end_takes_no_longer(text: bytes) -> None:
    """Each quotation mark would otherwise be the beginning of a search to the end of the text."""
    assert is_refused(b"," * (json_limits.MAX_JSON_VALUES + 1) + text)
    assert not is_refused(b'"' + b"," * json_limits.MAX_JSON_VALUES + b'"' + text[1:])
