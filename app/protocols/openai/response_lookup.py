"""Finds responses, and reads them from the logs of their runs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

from ...access.principals import Principal
from ...errors import MessageNotFound, NotFound, ThreadNotFound
from ...models.messages import MessageState, Thread
from ...services import Services
from ..run_streams import stored_events
from ..runs import Run, find_run, runs_of
from .ids import CONVERSATION, RESPONSE, conversation_id_of, name_in, response_id_of
from .json_texts import JsonText
from .notes import Notes
from .response_projection import Progress, ResponseView, frames_of, opening, response_json, shown_before

STATUSES = {MessageState.QUEUED: "queued", MessageState.PROCESSING: "in_progress"}
"""The statuses of responses that have not ended."""


class ResponseNotFound(NotFound):
    """There is no such response."""

    code = "response_not_found"

    def __init__(self, response_id: str) -> None:
        super().__init__(f"There is no response with the id {response_id!r}.")


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code = "conversation_not_found"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"There is no conversation with the id {conversation_id!r}.")


class FoundResponse(NamedTuple):
    """The run of a response, and the response as it begins."""

    run: Run
    view: ResponseView

    @property
    def unfinished(self) -> str | None:
        """Return the status of a response that has not ended; None for others."""
        message = self.run.message
        if self.run.is_answered or message.state not in STATUSES:
            return None
        return "cancelled" if message.cancel_requested else STATUSES[message.state]


async def find_response(services: Services, caller: Principal, response_id: str) -> FoundResponse:
    """Return a response. Raises ResponseNotFound."""
    name = name_in(response_id, RESPONSE)
    try:
        if name is None:
            raise MessageNotFound(response_id)
        return await found_response(services, await find_run(services, caller, name))
    except MessageNotFound:
        raise ResponseNotFound(response_id) from None


async def found_response(services: Services, run: Run) -> FoundResponse:
    """Return the response that a run gives."""
    previous = None
    if run.first_event:
        earlier = [each for each in await runs_of(services, run.message) if each.first_event < run.first_event]
        previous = response_id_of(earlier[-1])
    message = run.message
    return FoundResponse(run, ResponseView(response_id_of(run), message.id, message.agent, _begun(run, previous)))


async def find_conversation(services: Services, caller: Principal, conversation_id: str) -> Thread:
    """Return the thread that is a conversation. Raises ConversationNotFound."""
    thread_id = name_in(conversation_id, CONVERSATION)
    try:
        if thread_id is None:
            raise ThreadNotFound(conversation_id)
        return await services.threads.get_thread(caller, thread_id)
    except ThreadNotFound:
        raise ConversationNotFound(conversation_id) from None


def _begun(run: Run, previous: str | None) -> dict[str, Any]:
    """Return the fields of a response that never change. An answer follows the response that asked."""
    message, notes = run.message, Notes.of(run.message)
    thread_id = None if notes.owns_thread else message.thread_id
    return {
        "id": response_id_of(run),
        "object": "response",
        "created_at": int(run.created_at.timestamp()),
        "background": notes.background,
        "model": message.agent,
        "instructions": notes.instructions,
        "metadata": message.metadata,
        "previous_response_id": previous or notes.previous_response_id,
        "conversation": None if thread_id is None else {"id": conversation_id_of(thread_id)},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "text": {"format": {"type": "text"}},
        "truncation": "disabled",
        "service_tier": notes.service_tier or "default",
        "store": message.thread_id is not None,
        "temperature": None,
        "top_p": None,
        "max_output_tokens": None,
        "reasoning": None,
    }


async def progress_before(services: Services, caller: Principal, run: Run) -> Progress:
    """Return the progress at the beginning of a run."""
    progress = Progress()
    async for events in stored_events(services, caller, run, 0, run.seen_before):
        progress = shown_before(events, progress)
    return progress


async def read_response(services: Services, caller: Principal, found: FoundResponse) -> JsonText:
    """Return a response as it is now, as JSON. Its output is complete when it has ended.

    Once the log is deleted, the output is the result alone. The end of a log is kept as long as its message.
    """
    if found.unfinished is not None:
        return response_json(found.view, found.unfinished)
    final = None
    async with aclosing(shown_parts(services, caller, found)) as parts:
        async for _, progress in parts:
            final = progress.final
    return final or response_json(found.view, "completed")


async def shown_parts(
    services: Services, caller: Principal, found: FoundResponse
) -> AsyncGenerator[tuple[bytes, Progress]]:
    """Yield the events of a response so far, as far as its log is kept, in parts, each with the progress after it."""
    run, view = found
    progress = await progress_before(services, caller, run)
    _, progress = opening(view, progress, 0)
    page = await services.log.read(caller.tenant, run.message.id, after=run.seen_before, limit=1)
    if run.is_answered and page.first > run.seen_before + 1:  # what is left of the log is of the last run
        return
    async for events in stored_events(services, caller, run, max(run.seen_before, page.first - 1), page.last):
        frames, progress = frames_of(view, progress, events)
        yield frames, progress
        if progress.final is not None:
            return
