"""Writes messages of the protocol as JSON. Pure."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as Proto


def json_of(message: Proto) -> str:
    """Return a message of the protocol as JSON."""
    return json_text(MessageToDict(message))


def json_text(value: Any) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(with_whole_numbers(value), separators=(",", ":"))


def with_whole_numbers(value: Any) -> Any:
    """Return JSON whose whole numbers are integers again. In the protocol's messages, all numbers are floats."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: with_whole_numbers(each) for name, each in value.items()}
        case list():
            return [with_whole_numbers(each) for each in value]
    return value
