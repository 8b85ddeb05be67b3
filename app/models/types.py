"""Field types that several models use."""

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer, StringConstraints

from ..text import rfc3339, storable, storable_value

THREAD_ID_MAX_LENGTH = 255


Text = Annotated[str, StringConstraints(strict=True), AfterValidator(storable)]
ThreadId = Annotated[Text, Field(min_length=1, max_length=THREAD_ID_MAX_LENGTH)]
Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
JsonObject = Annotated[dict[str, Any], AfterValidator(storable_value)]
