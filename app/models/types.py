"""Field types that several models use."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer, StringConstraints

from ..text import on_one_line, rfc3339, storable, storable_value

THREAD_ID_MAX_LENGTH = 255
SUBJECT_MAX_LENGTH = 255


def _rfc3339(value: object) -> object:
    """Return a time of RFC 3339 unchanged. Raises ValueError for other forms that Pydantic accepts, such as numbers."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d", value):
        raise ValueError("expected a time of RFC 3339, such as 2030-01-31T09:00:00Z")
    return value


def _with_time(value: object) -> object:
    """Return the beginning of a day of UTC that is given as a date."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else value


Text = Annotated[str, StringConstraints(strict=True), AfterValidator(storable)]
Subject = Annotated[Text, Field(min_length=1, max_length=SUBJECT_MAX_LENGTH), AfterValidator(on_one_line)]
ThreadId = Annotated[Text, Field(min_length=1, max_length=THREAD_ID_MAX_LENGTH)]
Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
JsonObject = Annotated[dict[str, Any], AfterValidator(storable_value)]
TimeText = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
DayOrTime = Annotated[TimeText, BeforeValidator(_with_time)]
