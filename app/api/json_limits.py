"""Limits how many values the JSON of a request may have, before it is parsed.

Checking half a million tiny values would hold up the process for more than a second. The depth needs no limit here:
pydantic's parser stops at 200 levels, and `app.text.storable_value` at 100.
"""

import re

from ..errors import InvalidRequest

MAX_JSON_VALUES = 100_000

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or all that follows its beginning. It matches at every quotation mark, so that it takes linear time."""


def check_json_values(text: bytes) -> None:
    """Raise InvalidRequest if a JSON text has more than MAX_JSON_VALUES values. Short texts cost nothing."""
    if (
        len(text) > MAX_JSON_VALUES
        and _separators(text) > MAX_JSON_VALUES
        and _separators(_STRING.sub(b"", text)) > MAX_JSON_VALUES
    ):
        raise InvalidRequest(
            f"body: expected at most {MAX_JSON_VALUES} values; arrays and objects count twice",
            field="body",
            code="validation_error",
        )


def _separators(text: bytes) -> int:
    """Return how many values there may be: each follows a comma or begins an array or object."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
