"""Records of what clients saw and of what the server says later, and the invariants between both. No I/O."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

RECITE = "recite"
LOST = "The worker was lost."
MAX_LOSSES = 3
TERMINAL_STATES = {"done": "completed", "error": "failed", "cancelled": "cancelled"}
BLOCK = re.compile(r"\[(\w+) ([^|\]]+)\|([^|\]]*)\|((?:\d+\.)*)\]")
OPEN_BLOCK = re.compile(r"\[\w+ ([^/\]]+)/[^\]]*$")


class Reply(StrEnum):
    """A client's knowledge of its request."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Event(NamedTuple):
    """A stored event as a reader got it; `raw` is its block of lines."""

    id: int
    type: str
    data: dict[str, Any]
    raw: bytes


class Submit(NamedTuple):
    """A POST, with all its repetitions under one key. `began` and `ended` are times of the client's own clock."""

    content: str
    thread: str | None
    began: float
    ended: float
    reply: Reply
    message_id: str | None = None


class Cancel(NamedTuple):
    """A DELETE, or a POST that cancels in any state."""

    message_id: str
    reply: Reply


class Reading(NamedTuple):
    """The events of one connection that asked for those behind `after`."""

    message_id: str
    after: int
    events: tuple[Event, ...]


class Sighting(NamedTuple):
    """A status of a message that had ended."""

    message_id: str
    state: str
    result: str | None


@dataclass
class Seen:
    """The clients' side."""

    submits: list[Submit] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    running: list[tuple[str, ...]] = field(default_factory=list)
    """Threads of the messages that were being processed at one moment."""
    surprises: list[tuple[str | None, str]] = field(default_factory=list)
    """Replies that the API never gives, by message."""
    kills: dict[str, float] = field(default_factory=dict)
    """The time at which each process was killed, in seconds since the epoch."""
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """Times at which the database, or a process that has it locked, stood still and may have delayed all others."""


@dataclass
class Stored:
    """The server's side, after the drain."""

    total: int = 0
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, list[Event]] = field(default_factory=dict)
    threads: dict[str, list[str]] = field(default_factory=dict)
    """Ids in the thread's own order."""
    memories: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """The turns that the agent remembers of a thread: kind and text of each."""


@dataclass
class History:
    """Both sides of one run."""

    seen: Seen
    stored: Stored
    recovery_limit: float = float("inf")
    """Within so many seconds after a kill its messages are back in the queue."""


class Violation(NamedTuple):
    """A broken invariant."""

    invariant: str
    message_id: str | None
    text: str


Found = Iterator[tuple[str | None, str]]


def nothing_lost(history: History) -> Found:
    """I1: each acknowledged message is there as it was sent, and has ended."""
    for submit in history.seen.submits:
        if submit.message_id is None:
            continue
        message = history.stored.messages.get(submit.message_id)
        if message is None:
            yield submit.message_id, "acknowledged and not there"
        elif (message["user_message"], message["thread_id"]) != (submit.content, submit.thread):
            yield submit.message_id, f"stored as {message}"
        elif message["state"] not in TERMINAL_STATES.values():
            yield submit.message_id, f"still {message['state']}"
    yield from history.seen.surprises


def nothing_invented(history: History) -> Found:
    """I2: what is there was sent, once, and not refused; who was not cancelled by a client is not cancelled."""
    sent = Counter(s.content for s in history.seen.submits if s.reply is not Reply.REFUSED)
    for content, count in (Counter(m["user_message"] for m in history.stored.messages.values()) - sent).items():
        ids = [i for i, m in history.stored.messages.items() if m["user_message"] == content]
        yield ids[0], f"{count} more than were sent of {content!r}: {ids}"
    if not sum(s.reply is Reply.DONE for s in history.seen.submits) <= history.stored.total <= sent.total():
        yield None, f"{history.stored.total} messages in the store, {sent.total()} were sent"
    cancels = {c.message_id for c in history.seen.cancels if c.reply is not Reply.REFUSED}
    for message_id, message in history.stored.messages.items():
        if message["state"] == "cancelled" and message_id not in cancels:
            yield message_id, "cancelled by nobody"


def one_end(history: History) -> Found:
    """I3: one terminal event, the last; state and result agree with it; who has seen an end has seen the end."""
    for message_id, log in history.stored.logs.items():
        message = history.stored.messages[message_id]
        ends = [event for event in log if event.type in TERMINAL_STATES]
        if len(ends) != 1 or log[-1] is not ends[0]:
            yield message_id, f"terminal events: {[(e.id, e.type) for e in ends]} of {len(log)}"
            continue
        told = (TERMINAL_STATES[ends[0].type], ends[0].data.get("result"), ends[0].data.get("error"))
        if told != (message["state"], message["result"], message["error"]):
            yield message_id, f"the log ends with {told}, the message is {message}"
        if message["state"] == "failed":
            losses = sum(event.data.get("error") == LOST for event in log if event.type == "retry")
            if message["error_code"] != "worker_lost" or losses + 1 != MAX_LOSSES:
                yield message_id, f"failed with {message['error_code']} after {losses} losses: {message['error']}"
    for sighting in history.seen.sightings:
        message = history.stored.messages.get(sighting.message_id, {})
        if (sighting.state, sighting.result) != (message.get("state"), message.get("result")):
            yield sighting.message_id, f"seen as {sighting}, stored as {message}"


def one_writer(history: History) -> Found:
    """I4: attempts follow each other, each with its own chunks from 0 on; the result is what the last one showed."""
    for message_id, log in history.stored.logs.items():
        begun: int | None = None
        index = 0
        for event in log:
            if event.type == "processing":
                if begun is not None:
                    yield message_id, f"event {event.id} begins an attempt inside that of event {begun}"
                begun, index = event.id, 0
                continue
            if event.type != "cancelled" and begun is None:  # a cancel may come at any time
                yield message_id, f"event {event.id}, {event.type}, outside of an attempt"
            if event.type == "chunk":
                if event.data["index"] != index:
                    yield message_id, f"event {event.id} has index {event.data['index']}, expected {index}"
                index = event.data["index"] + 1
                continue
            if event.type == "retry" and event.data["discard_from"] != begun:
                yield message_id, f"event {event.id} discards from {event.data['discard_from']}, not {begun}"
            begun = None
        message = history.stored.messages[message_id]
        if message["state"] == "completed":
            yield from ((message_id, problem) for problem in _wrong_in_answer(message, log))
    yield from _wrong_in_memory(history)


def _wrong_in_answer(message: dict[str, Any], log: list[Event]) -> Iterator[str]:
    text = last_text(log)
    if message["user_message"] == RECITE:
        if text != message["result"]:
            yield "the result is not what was shown"
        return
    blocks = list(BLOCK.finditer(text))
    if "".join(block[0] for block in blocks) != text or [block[1] for block in blocks] != ["plan", "answer"]:
        yield f"the last attempt showed {text!r}"
    elif blocks[-1][0] != message["result"]:
        yield f"the result is {message['result']!r}, shown was {text!r}"
    for block in blocks:
        if block[4] != "".join(f"{number}." for number in range(block[4].count("."))):
            yield f"tokens are missing or double in {block[0]!r}"


def _wrong_in_memory(history: History) -> Found:
    """Yield the completed messages of which the agent does not remember exactly what was shown."""
    for thread, memory in history.stored.memories.items():
        turns: dict[str, list[str]] = {}
        latest = ""
        for kind, text in memory:
            if kind == "human":
                latest = text
            else:
                turns.setdefault(latest, []).append(text)
        for message_id in history.stored.threads[thread]:
            message = history.stored.messages[message_id]
            if message["state"] == "completed" and message["user_message"] != RECITE:
                shown, remembered = last_text(history.stored.logs[message_id]), turns.get(message["user_message"])
                if remembered is None or "".join(remembered) != shown:
                    yield message_id, f"shown was {shown!r}, remembered is {remembered}"


def last_text(log: list[Event]) -> str:
    """The text that the last attempt showed."""
    begins = max((event.id for event in log if event.type == "processing"), default=0)
    return "".join(str(event.data["chunk"]) for event in log if event.type == "chunk" and event.id > begins)


def same_bytes(history: History) -> Found:
    """I5: ids are 1..n, and each reader got the same bytes, without a gap, from wherever it began."""
    for message_id, log in history.stored.logs.items():
        if [event.id for event in log] != list(range(1, len(log) + 1)):
            yield message_id, f"ids {[event.id for event in log]}"
    for reading in history.seen.readings:
        ids = [event.id for event in reading.events]
        if ids != list(range(reading.after + 1, reading.after + 1 + len(ids))):
            yield reading.message_id, f"a reader behind {reading.after} got {ids}"
        stored = {event.id: event.raw for event in history.stored.logs.get(reading.message_id, [])}
        for event in reading.events:
            if stored.get(event.id) != event.raw:
                yield reading.message_id, f"a reader got {event.raw!r}, the log has {stored.get(event.id)!r}"


def one_running(history: History) -> Found:
    """I6: a thread runs one message at a time."""
    for running in history.seen.running:
        for thread, count in Counter(running).items():
            if count > 1:
                yield None, f"{count} messages of {thread} were being processed at a time"
    messages = history.stored.messages
    for ids in history.stored.threads.values():
        started = sorted((i for i in ids if messages[i]["started_at"]), key=lambda i: messages[i]["started_at"])
        for before, after in pairwise(started):
            if messages[after]["started_at"] < (messages[before]["completed_at"] or "9"):
                yield after, f"began at {messages[after]['started_at']}, inside the time of {messages[before]}"


def thread_order(history: History) -> Found:
    """I7: a thread is in the order of accepting, runs in it, and the agent heard each of its messages once, in it."""
    submits = {s.message_id: s for s in history.seen.submits if s.message_id is not None}
    for thread, ids in history.stored.threads.items():
        latest = 0.0
        for message_id in ids:
            if (submit := submits.get(message_id)) is not None:
                if submit.ended < latest:
                    yield message_id, "behind one that was sent after it was acknowledged"
                latest = max(latest, submit.began)
        started = [i for i in ids if history.stored.messages[i]["started_at"]]
        for before, after in pairwise(started):
            if history.stored.messages[after]["started_at"] < history.stored.messages[before]["started_at"]:
                yield after, f"began before {before}, which is ahead of it in {thread}"
        for message_id, heard in _heard(history, thread):
            yield from ((message_id, problem) for problem in _wrong_in_hearing(history, ids, message_id, heard))


def _heard(history: History, thread: str) -> Iterator[tuple[str, list[str]]]:
    """The human turns that each completed message of a thread found in the memory, its own last."""
    for message_id in history.stored.threads[thread]:
        message = history.stored.messages[message_id]
        if message["state"] != "completed":
            continue
        if message["user_message"] == RECITE:
            yield message_id, [text for kind, text in json.loads(message["result"]) if kind == "human"]
        elif (block := BLOCK.search(message["result"])) is not None:
            yield message_id, block[3].split(",")


def _wrong_in_hearing(history: History, ids: list[str], message_id: str, heard: list[str]) -> Iterator[str]:
    messages = [history.stored.messages[i] for i in ids[: ids.index(message_id) + 1]]
    must = [m["user_message"] for m in messages if m["state"] == "completed"]
    may = [m["user_message"] for m in messages if m["started_at"]]
    in_order = iter(may)
    if not all(text in in_order for text in heard) or Counter(must) - Counter(heard):
        yield f"the agent heard {heard}; completed until then: {must}, begun: {may}"


def cancelled_stays(history: History) -> Found:
    """I8: who was told that a message is cancelled never sees it complete."""
    for cancel in history.seen.cancels:
        message = history.stored.messages.get(cancel.message_id, {})
        if cancel.reply is Reply.DONE and message.get("state") != "cancelled":
            yield cancel.message_id, f"the cancel was acknowledged, the message is {message}"


def recovered_in_time(history: History) -> Found:
    """I12: what a killed process was at work on is back in the queue soon, unless something stood still meanwhile."""
    for message_id, killed, back in recoveries(history):
        seconds = back - killed
        for since, until in _joined(history.seen.pauses):
            seconds -= max(0.0, min(until, back) - max(since, killed))
        if seconds > history.recovery_limit:
            yield message_id, f"back {seconds:.2f} s after the kill; the limit is {history.recovery_limit:.2f} s"


def _joined(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for since, until in sorted(intervals):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((since, until))
    return joined


class Recovery(NamedTuple):
    """The times at which a message's process was killed and the message was queued again, by the server's clock."""

    message_id: str
    killed: float
    back: float


def recoveries(history: History) -> list[Recovery]:
    """Return the recoveries of attempts that were cut off inside a block of text: only these tell their process."""
    found = []
    for message_id, log in history.stored.logs.items():
        text = ""
        for event in log:
            if event.type == "processing":
                text = ""
            elif event.type == "chunk":
                text += str(event.data["chunk"])
            elif event.type == "retry" and event.data["error"] == LOST and (cut := OPEN_BLOCK.search(text)):
                killed = history.seen.kills.get(cut[1])
                back = datetime.fromisoformat(event.data["next_at"]).timestamp()
                if killed is not None:
                    found.append(Recovery(message_id, killed, back))
    return found


INVARIANTS: dict[str, Callable[[History], Found]] = {
    "I1": nothing_lost,
    "I2": nothing_invented,
    "I3": one_end,
    "I4": one_writer,
    "I5": same_bytes,
    "I6": one_running,
    "I7": thread_order,
    "I8": cancelled_stays,
    "I12": recovered_in_time,
}


def check(history: History) -> list[Violation]:
    """All that is wrong."""
    return [Violation(name, *found) for name, invariant in INVARIANTS.items() for found in invariant(history)]


def story(history: History, message_id: str | None) -> str:
    """Everything that is known of a message, for whoever looks into a violation."""
    if message_id is None:
        return ""
    seen, stored = history.seen, history.stored
    requests: list[Submit | Cancel | Sighting] = [*seen.submits, *seen.cancels, *seen.sightings]
    requests = [request for request in requests if request.message_id == message_id]
    readings = [
        f"read behind {r.after}: {[e.id for e in r.events]}" for r in seen.readings if r.message_id == message_id
    ]
    log = [f"{e.id} {e.data.get('chunk') or (e.type, e.data)}" for e in stored.logs.get(message_id, [])]
    return "\n".join(map(str, [*requests, *readings, stored.messages.get(message_id), " ".join(log)]))
