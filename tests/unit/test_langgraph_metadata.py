"""Metadata of LangGraph's clients come back as they were given, whatever other clients stored beside them."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.protocols.langgraph.schemas.metadata import NestedMetadata, whole

VALUES: list[Any] = [
    *(None, True, 7, 1.5, "text", "", "json", "json:", "json:1", "json:{}", 'json:"json:[]"', "json:json:[]"),
    *([], {}, [1, "a", None], {"a": {"b": ["json:{}", "\u00e9\U0001f600"]}}, [[{}]], {"": ""}),
]


def test_values_come_back() -> None:
    metadata = {str(at): value for at, value in enumerate(VALUES)}
    stored = TypeAdapter(NestedMetadata).validate_python(metadata)
    assert not any(isinstance(value, dict | list) for value in stored.values())
    assert whole(stored) == metadata


@pytest.mark.parametrize("text", ["json:", "json:[1", "json:7", 'json:"text"', "json:" + "[" * 100_000, "other"])
def test_texts_of_others_stay_as_they_are(text: str) -> None:
    assert whole({"a": text}) == {"a": text}


@pytest.mark.parametrize("value", [["\x00"], {"\ud800": 1}, [float("nan")], {"a": "x" * 20_000}])
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NestedMetadata).validate_python({"a": value})
