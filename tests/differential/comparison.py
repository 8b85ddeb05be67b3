"""Compares what two servers replied to the same requests."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, NamedTuple

from tests.differential.recording import Exchange, Frame

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

NUMBER = re.compile(r"(?<=[0-9a-f]{12})-\d+$")
"""The end that LangChain adds to the id of a message that was not streamed: its place among the answers to one call."""

MISSING = "(missing)"


class Difference(NamedTuple):
    """A place where two replies differ, such as `GET /threads/{}/state: body.next`, and what each server says there."""

    scenario: str
    place: str
    reference: Any
    ours: Any


class Comparison:
    """Compares the replies of one scenario.

    Ids differ between servers. Two ids are the same if each stands where the other does, everywhere.
    """

    def __init__(self, scenario: str) -> None:
        self._scenario = scenario
        self._ours_of: dict[str, str] = {}
        self._theirs_of: dict[str, str] = {}

    def differences(self, reference: Sequence[Exchange], ours: Sequence[Exchange]) -> Iterator[Difference]:
        """Yield where the replies differ."""
        for theirs, our in zip_longest(reference, ours):
            if theirs is None or our is None or (theirs.method, _place(theirs)) != (our.method, _place(our)):
                yield Difference(self._scenario, "requests", theirs and _place(theirs), our and _place(our))
                return
            place = _place(theirs)
            if theirs.status != our.status:
                yield Difference(self._scenario, f"{place}: status", theirs.status, our.status)
                continue
            yield from self._values(f"{place}: header", theirs.headers, our.headers)
            if theirs.is_stream and our.is_stream:
                yield from self._frames(f"{place}: stream", joined(theirs.frames), joined(our.frames))
            elif theirs.status < 400:
                yield from self._values(f"{place}: body", theirs.reply, our.reply)
            else:
                yield from self._errors(f"{place}: body", theirs.reply, our.reply)

    def _errors(self, place: str, theirs: Any, ours: Any) -> Iterator[Difference]:
        """Yield a difference unless both errors have a text. Each server words its own."""
        if not (isinstance(ours, dict) and isinstance(theirs, dict) and _is_told(ours) >= _is_told(theirs)):
            yield Difference(self._scenario, place, theirs, ours)

    def _frames(self, place: str, theirs: Sequence[Frame], ours: Sequence[Frame]) -> Iterator[Difference]:
        """Yield where streams differ. Events that only one of them has are left out of the comparison of the others."""
        names = [_of_nodes(frame.event) for frame in theirs], [_of_nodes(frame.event) for frame in ours]
        for kind, a, b, c, d in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
            if kind != "equal":
                yield Difference(self._scenario, f"{place}.events.order", names[0][a:b], names[1][c:d])
                continue
            for their, our in zip(theirs[a:b], ours[c:d], strict=True):
                name = _of_nodes(their.event)
                yield from self._values(f"{place}.events.names", their.event, our.event)
                yield from self._values(f"{place}.{name}#id", their.has_id, our.has_id)
                yield from self._values(f"{place}.{name}", their.data, our.data)

    def _values(self, place: str, theirs: Any, ours: Any) -> Iterator[Difference]:
        match theirs, ours:
            case dict(), dict():
                ours = self._with_keys_of(theirs, ours)
                for key in sorted(theirs.keys() | ours.keys()):
                    inner = f"{place}.{ID.sub('{}', key)}"
                    yield from self._values(inner, theirs.get(key, MISSING), ours.get(key, MISSING))
            case list(), list() if len(theirs) == len(ours):
                for at, (their, our) in enumerate(zip(theirs, ours, strict=True)):
                    yield from self._values(f"{place}.{at}", their, our)
            case str(), str():
                if not self._are_same(TIME.sub("(time)", theirs), TIME.sub("(time)", ours)):
                    yield Difference(self._scenario, place, theirs, ours)
            case _ if theirs != ours or isinstance(theirs, bool) != isinstance(ours, bool):
                yield Difference(self._scenario, place, theirs, ours)

    def _with_keys_of(self, theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
        """Return our object with their ids as keys, where the keys are the same but for ids."""
        found = dict(ours)
        for their in (key for key in theirs if key not in ours):
            for our in (key for key in ours if key in found and key not in theirs):
                if ID.search(their) and self._are_same(their, our):
                    found[their] = found.pop(our)
                    break
        return found

    def _are_same(self, theirs: str, ours: str) -> bool:
        """Return whether two texts are the same but for ids, and the ids stand for each other."""
        theirs, ours = NUMBER.sub("", theirs), NUMBER.sub("", ours)
        if ID.split(theirs) != ID.split(ours):
            return False
        pairs = list(zip(ID.findall(theirs), ID.findall(ours), strict=True))
        known = all(
            self._ours_of.get(their, our) == our and self._theirs_of.get(our, their) == their for their, our in pairs
        )
        if known:
            self._ours_of.update(pairs)
            self._theirs_of.update((our, their) for their, our in pairs)
        return known


def _place(exchange: Exchange) -> str:
    return f"{exchange.method} {ID.sub('{}', exchange.path)}"


def _of_nodes(event: str) -> str:
    """Return the name of an event without the ids of tasks: the nodes whose subgraph it is of."""
    return "|".join(part.split(":")[0] for part in event.split("|"))


def _is_told(error: dict[str, Any]) -> bool:
    return isinstance(error.get("detail"), str) and bool(error["detail"])


def joined(frames: Iterable[Frame]) -> list[Frame]:
    """Return a stream in which the neighbouring pieces of a message are one piece."""
    found: list[Frame] = []
    for frame in frames:
        before = found[-1] if found else None
        if before is not None and before.event == frame.event and _id_of(before) == _id_of(frame) is not None:
            found[-1] = _join(before, frame)
        else:
            found.append(frame)
    return found


def _id_of(frame: Frame) -> str | None:
    """Return the id of the AI message that a frame shows a piece of; None for other frames."""
    kind = frame.event.split("|")[0]
    if kind not in ("messages", "messages/partial") or frame.data[0]["type"] == "tool":
        return None
    return str(frame.data[0]["id"])


def _join(before: Frame, frame: Frame) -> Frame:
    if frame.event.startswith("messages/partial"):
        return frame
    earlier, later = before.data[0], frame.data[0]
    whole = {
        **later,
        "content": earlier["content"] + later["content"],
        "tool_calls": [*earlier["tool_calls"], *later["tool_calls"]],
        "tool_call_chunks": _joined_calls([*earlier["tool_call_chunks"], *later["tool_call_chunks"]]),
    }
    return Frame(before.event, [whole, before.data[1]], before.has_id)


def _joined_calls(chunks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tool calls whose pieces these are, by their indexes."""
    found: dict[Any, dict[str, Any]] = {}
    for chunk in chunks:
        call = found.setdefault(chunk["index"], {**chunk, "args": ""})
        call["args"] += chunk["args"] or ""
    return list(found.values())
