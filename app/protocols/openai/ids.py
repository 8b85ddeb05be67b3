"""Ids of responses, conversations and completions: ids of runs, threads and messages with a prefix."""

from ..runs import Run

RESPONSE = "resp_"
CONVERSATION = "conv_"
COMPLETION = "chatcmpl-"
ITEM = "msg_"


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
