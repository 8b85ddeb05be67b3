"""Checks a human's answers to the questions of an interrupted message. Pure."""

import json

from ..errors import InvalidRequest, NotInterrupted
from ..models.messages import Message, MessageState
from ..models.requests import ResumeAnswer
from ..text import storable_value


def resume_value(message: Message, answer: ResumeAnswer) -> str:
    """Return the answers for the store: a JSON object with a value for each question's id.

    Raises NotInterrupted if nothing is asked, InvalidRequest if the answers do not fit the questions.
    """
    if message.state is not MessageState.INTERRUPTED or message.interrupt is None:
        raise NotInterrupted(message.id, message.state)
    asked = [str(question["id"]) for question in json.loads(message.interrupt)]
    if answer.values is None:
        if len(asked) != 1:
            raise InvalidRequest(
                f"value: the message asks {len(asked)} questions. Answer each by its id, in `values`.",
                field="value",
            )
        return _as_json({asked[0]: answer.value}, "value")
    if unknown := [each for each in answer.values if each not in asked]:
        told = f"the message has no question with the id {unknown[0]!r}. It asks {', '.join(asked)}."
        raise InvalidRequest(f"values: {told}", field="values")
    if missing := [each for each in asked if each not in answer.values]:
        raise InvalidRequest(f"values: there is no answer to the question with the id {missing[0]!r}", field="values")
    return _as_json(answer.values, "values")


def _as_json(values: dict[str, object], name: str) -> str:
    """Return the values as JSON. Raises InvalidRequest, which names the field `name`.

    The error means that JSON or a database cannot hold the values.
    """
    try:
        return json.dumps(storable_value(values))
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}", field=name) from None
