"""Waits for messages, and tells the callers of tools what happens meanwhile.

A progress that is a whole number comes with text of the answer, and is the id of the text's last event. A progress with
a fraction comes with a note: a position in the queue, the begin of an attempt, a call of a tool, reasoning.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from ...api.errors import ServerStopping
from ...api.streaming import tail_of
from ...errors import InvalidRequest
from ...events.fanout import StoredEvents
from ...events.tail import WaitingUpdate
from ...models.events import Event, EventType
from ...models.messages import Message, MessageState
from ...policy.lifecycle import TERMINAL
from ..run_streams import PART_EVENTS
from .exchanges import LAST_EVENT_ID, Exchange, Place

CONTENT = "content"

HALF = 0.5
"""The distance from an event to the note about the next event. Notes about the queue are between the two."""


class Told(NamedTuple):
    """A text for the caller: the progress, and the last event that is told with it."""

    progress: float
    text: str
    event: int


async def resumed_message(exchange: Exchange, message_id: str, place: Place) -> Message:
    """Return the message of a call that goes on at this place. Raises MessageNotFound, InvalidRequest.

    A crash of the database may have lost events that a client has seen.
    """
    services, caller = exchange.services, exchange.caller
    message = await services.queue.get(caller, message_id)
    newest = (await services.log.read(caller.tenant, message.id, after=place.event, limit=1)).last
    if place.event > newest:
        told = f"the message has no event {place.event}. Call wait_for_message to read it anew"
        raise InvalidRequest(f"{LAST_EVENT_ID}: {told}", field=LAST_EVENT_ID)
    return message


@asynccontextmanager
async def place_to_wait(exchange: Exchange) -> AsyncIterator[None]:
    """Count a call that waits as one of the caller's open streams. Raises TooManyStreams.

    A call that submits a message takes its place before, so that a message is not stored whose call is refused.
    """
    limits, caller = exchange.services.stream_limits, exchange.caller
    await limits.check(caller)
    with limits.counted(caller):
        yield


async def settled(exchange: Exchange, message: Message) -> Message:
    """Wait until a message has ended or asks a human, or the time of the exchange is up. Return it as it is then.

    The call has taken its `place_to_wait`. A call that goes on after a cut is first told the rest of the log. Raises
    MessageNotFound, and ServerStopping if this process stops before.
    """
    services, caller = exchange.services, exchange.caller
    exchange.message_id = message.id
    if exchange.when_waiting is not None:
        await exchange.when_waiting()
    seconds = None if exchange.until is None else exchange.until / 1000 - time.time()
    try:
        async with asyncio.timeout(seconds):
            await _follow(exchange, message.id)
    except TimeoutError:
        pass
    else:
        if services.streams.is_closing and not is_settled(await services.queue.get(caller, message.id)):
            raise ServerStopping
    return await services.queue.get(caller, message.id)


def is_settled(message: Message) -> bool:
    """Return whether a message has ended or asks a human."""
    return message.state in TERMINAL or message.state is MessageState.INTERRUPTED


async def _follow(exchange: Exchange, message_id: str) -> None:
    """Tell what happens to a message until it has ended or asks a human. The tail ends with the message."""
    services, caller = exchange.services, exchange.caller
    async with aclosing(tail_of(services, caller.tenant, message_id, exchange.place.event)) as items:
        async for item in items:
            match item:
                case WaitingUpdate():
                    event, notes = exchange.place
                    exchange.place = Place(event, notes + 1)
                    await _tell(exchange, event + HALF * (1 - 1 / (notes + 2)), position_note(item))
                case StoredEvents():
                    for part in item.parts(PART_EVENTS):
                        for told in texts_of(part.events):
                            exchange.place = Place(told.event)
                            await _tell(exchange, told.progress, told.text)
                        exchange.place = Place(part.events[-1].id)
                        await asyncio.sleep(0)
                    if any(event.type is EventType.INTERRUPTED for event in item.events) and is_settled(
                        await services.queue.get(caller, message_id)
                    ):
                        return


async def _tell(exchange: Exchange, progress: float, text: str) -> None:
    if exchange.tell is not None:
        await exchange.tell(progress, text)


def position_note(update: WaitingUpdate) -> str:
    """Return a note about a queued message."""
    reason = update.wait_estimate.reason
    told = "" if reason is None else f" {reason.message}"
    return f"Queued.{told}" if update.position is None else f"Queued at position {update.position}.{told}"


def texts_of(events: Sequence[Event]) -> Iterator[Told]:
    """Yield what the events tell. Consecutive texts of the answer are one text."""
    content, last = "", 0
    for event in events:
        kind, text = _told(event)
        if kind == CONTENT:
            content += text
            last = event.id
            continue
        if text:
            if content:
                yield Told(last, content, last)
                content = ""
            yield Told(event.id - 1 + HALF, text, event.id)
    if content:
        yield Told(last, content, last)


def _told(event: Event) -> tuple[str, str]:
    """Return the kind of an event, and its text: of the answer if the kind is CONTENT, else a note or nothing."""
    data = json.loads(event.data)
    if event.type is EventType.CHUNK:
        return data["type"], _text_of(data)
    note = ""
    match event.type:
        case EventType.PROCESSING:
            note = f"Attempt {data['attempt']} has begun."
        case EventType.RETRY:
            note = f"Attempt {data['attempt']} has ended, and its text does not count: {data['error']}"
        case EventType.RESUMED:
            note = "The question was answered."
    return event.type, note


def _text_of(chunk: Mapping[str, Any]) -> str:
    """Return what a piece of the answer says."""
    match chunk["type"]:
        case "tool_call":
            return f"The agent calls {chunk['chunk']['name']}."
        case "discard":
            return "The last text is not part of the answer."
        case "tool_result":
            return ""
    return str(chunk["chunk"])
