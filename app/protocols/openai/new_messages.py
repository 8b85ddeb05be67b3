"""Makes messages of what OpenAI's clients send."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...models.inputs import RunInput
from ...models.messages import MessageOptions, MetadataValue, NewMessage, Priority
from ...policy.input_preview import run_preview

TEXT_MESSAGE = {"role", "content"}


def new_message(
    agent: str,
    given: Sequence[Mapping[str, Any]],
    *,
    priority: Priority,
    metadata: Mapping[str, MetadataValue] | None,
    notes: Mapping[str, Any],
) -> NewMessage:
    """Return a message with these messages of a conversation as its input. `notes` are the surface's own.

    One text of a user is the message's text, which every agent takes. Other messages are an input.
    """
    text = _only_text(given)
    run = RunInput() if text is not None else RunInput(input={"messages": [dict(each) for each in given]})
    return NewMessage(
        content=run_preview(run) if text is None else text,
        priority=priority,
        agent=agent,
        options=MessageOptions(run=run, surface=dict(notes)),
        metadata=metadata,
    )


def _only_text(given: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the text of a conversation that is one text of a user; None for any other."""
    if len(given) != 1 or given[0]["role"] != "user" or set(given[0]) != TEXT_MESSAGE:
        return None
    content = given[0]["content"]
    return content if isinstance(content, str) and content.strip() else None
