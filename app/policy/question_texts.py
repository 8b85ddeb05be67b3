"""The texts of questions to humans."""

from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = ("message", "question", "description")


def question_texts(value: Any) -> Iterator[str]:
    """Yield the text of a question, if it has one: the question itself, or the first text in one of FIELDS."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        found = (value.get(name) for name in FIELDS)
        yield from [each for each in found if isinstance(each, str)][:1]
