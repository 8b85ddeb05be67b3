"""Each recorded stream means the same to `AgentQ` and to `AsyncAgentQ`."""

import asyncio
import itertools
from typing import Any

import pytest
from agentq_client import AgentQ, AgentQError, AsyncAgentQ, StreamEvent
from agentq_client.events import Reset

from tests.clients.scripted_server import MESSAGE_ID, TRANSCRIPTS, Transcript, scripted_server, transcript
from tests.servers import DEADLINE_SECONDS

each_transcript = pytest.mark.parametrize("name", TRANSCRIPTS)
each_client = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def told(event: StreamEvent) -> int | str:
    """Return how a transcript names an event: by its id, or by its type if it has none."""
    return event.id if event.id is not None else "reset" if isinstance(event, Reset) else "waiting"


def expected_events(played: Transcript) -> list[tuple[int | str, int | None]]:
    """Return the events with the position after each."""
    expected = played["expected"]
    return list(itertools.zip_longest(expected["events"], expected.get("positions", [])))


class Reader:
    """Reads a stream with the client for threads; reading is the test's, so that both clients are used alike."""

    def __init__(self, url: str, after: int | None) -> None:
        self.url = url
        self.after = after

    async def events(self, count: int) -> tuple[list[tuple[int | str, int | None]], str, str | None]:
        return await asyncio.to_thread(self._events, count)

    def _events(self, count: int) -> tuple[list[tuple[int | str, int | None]], str, str | None]:
        found: list[tuple[int | str, int | None]] = []
        code = None
        with AgentQ(self.url, max_retries=0) as client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                for event in stream:
                    found.append((told(event), stream.position))
                    if len(found) == count and stream.state == "interrupted":
                        break
            except AgentQError as error:
                code = error.code
            return found, stream.text, code

    async def text(self) -> tuple[str, str | None]:
        return await asyncio.to_thread(self._text)

    def _text(self) -> tuple[str, str | None]:
        pieces: list[str] = []
        with AgentQ(self.url, max_retries=0) as client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                pieces.extend(stream.text_stream())
            except AgentQError as error:
                return "".join(pieces), error.code
        return "".join(pieces), None

    async def outcome(self) -> str:
        return await asyncio.to_thread(self._outcome)

    def _outcome(self) -> str:
        with AgentQ(self.url, max_retries=0) as client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                return stream.until_done().state
            except AgentQError as error:
                return error.code


class AsyncReader(Reader):
    """Reads a stream with the client for asyncio."""

    async def events(self, count: int) -> tuple[list[tuple[int | str, int | None]], str, str | None]:
        found: list[tuple[int | str, int | None]] = []
        code = None
        client = AsyncAgentQ(self.url, max_retries=0)
        async with client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                async for event in stream:
                    found.append((told(event), stream.position))
                    if len(found) == count and stream.state == "interrupted":
                        break
            except AgentQError as error:
                code = error.code
            return found, stream.text, code

    async def text(self) -> tuple[str, str | None]:
        pieces: list[str] = []
        client = AsyncAgentQ(self.url, max_retries=0)
        async with client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                async for piece in stream.text_stream():
                    pieces += [piece]
            except AgentQError as error:
                return "".join(pieces), error.code
        return "".join(pieces), None

    async def outcome(self) -> str:
        client = AsyncAgentQ(self.url, max_retries=0)
        async with client, client.follow(MESSAGE_ID, after=self.after) as stream:
            try:
                return (await stream.until_done()).state
            except AgentQError as error:
                return error.code


def reader(url: str, after: int | None, *, is_async: bool) -> Reader:
    return AsyncReader(url, after) if is_async else Reader(url, after)


@each_client
@each_transcript
async def test_its_events_are_shown_once_and_in_order(name: str, *, is_async: bool) -> None:
    played = transcript(name)
    expected = played["expected"]
    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        events, text, code = await reader(server.url, played["after"], is_async=is_async).events(
            len(expected["events"])
        )
        assert events == expected_events(played)
        assert text == expected["text"]
        assert server.last_event_ids == expected["last_event_ids"]
        assert code is None or code == expected["outcome"]


@each_client
@each_transcript
async def test_its_text_is_read_once(name: str, *, is_async: bool) -> None:
    played = transcript(name)
    if (expected := played["expected"]["text_stream"]) is None:
        assert played["expected"]["outcome"] == "message_interrupted"  # its text stays open
        return
    if isinstance(expected, str):
        expected = {"before": expected, "error": None}
    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        assert await reader(server.url, played["after"], is_async=is_async).text() == (
            expected["before"],
            expected["error"],
        )


@each_client
@each_transcript
async def test_who_waits_for_its_end_is_told(name: str, *, is_async: bool) -> None:
    played = transcript(name)
    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        assert await reader(server.url, played["after"], is_async=is_async).outcome() == played["expected"]["outcome"]


def test_transcripts_say_what_they_are_about() -> None:
    told: dict[str, Any] = {name: transcript(name)["about"] for name in TRANSCRIPTS}
    assert len(set(told.values())) == len(told) >= 30
