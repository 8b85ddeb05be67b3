"""Ids of responses, conversations and completions: ids of runs, threads and messages with a prefix.

An id of an item has the id of its run, and an id of a call that of its message. Clients that name one name a response.
"""

import re

from ..runs import Run

RESPONSE = "resp_"
CONVERSATION = "conv_"
COMPLETION = "chatcmpl-"
ITEM = "msg_"
QUESTION_ITEM = "fc_"
QUESTION = "call_"

_NAMED = re.compile(r"[a-z]+_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:_(.+))?", re.DOTALL)


def response_id_of(run: Run) -> str:
    """Return the id of the response that a run gives."""
    return RESPONSE + run.id


def completion_id_of(run: Run) -> str:
    """Return the id of the chat completion that a run gives."""
    return COMPLETION + run.id


def conversation_id_of(thread_id: str) -> str:
    """Return the id of the conversation that a thread is."""
    return CONVERSATION + thread_id


def name_in(text: str, prefix: str) -> str | None:
    """Return the id behind a prefix; None for a text without the prefix or with nothing behind it."""
    return text.removeprefix(prefix) or None if text.startswith(prefix) else None


def call_id_of(message_id: str, question_id: str) -> str:
    """Return the id of the call by which a message asks a question."""
    return f"{QUESTION}{message_id}_{question_id}"


def question_in(call_id: str) -> tuple[str, str] | None:
    """Return the ids of the message and of the question that a call is of; None for another call."""
    named = _NAMED.fullmatch(call_id) if call_id.startswith(QUESTION) else None
    return None if named is None or not named[2] else (named[1], named[2])


def tool_call_in(item_id: str) -> str:
    """Return the id of a call as models know it. They take no long ids."""
    named = _NAMED.fullmatch(item_id)
    return item_id if named is None else named[2] or item_id


def run_in(item_id: str) -> str | None:
    """Return the id of the run that an item is of; None for an id that names none."""
    named = _NAMED.fullmatch(item_id)
    return None if named is None else named[1]
