"""Clients of a chaos run: they submit, cancel, follow and look, on any API process, and note what they see."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import httpx2

from tests.chaos.history import TERMINAL_STATES, Cancel, Event, Reading, Reply, Seen, Sighting, Submit
from tests.chaos.processes import ChaosProcess
from tests.servers import until

THREADS = 6
THREAD_MESSAGES = 20
"""Number of messages of each client in one thread; then it goes on in a new thread."""

SUBMIT_TRIES = 4

PRIORITIES = ("low", "normal", "normal", "high")
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
TIMEOUT = httpx2.Timeout(8.0, connect=2.0)
SILENCE = httpx2.Timeout(2.5, connect=2.0)
"""Seconds without data after which a stream is opened again. Streams send a keep-alive every second."""


class Clients:
    """All clients of a run. They share what they have seen, and go on whatever the servers do."""

    def __init__(self, urls: Sequence[str], seed: str, *, timeout: httpx2.Timeout = TIMEOUT) -> None:
        self.seen = Seen()
        self.closing = asyncio.Event()
        self.urls = list(urls)
        self._seed = seed
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=False, limits=httpx2.Limits())

    async def is_answered_by(self, api: ChaosProcess, probe: str = "/health/live") -> bool:
        """Whether this process answers the probe with 200."""
        with contextlib.suppress(httpx2.TransportError):
            return (await self._http.get(f"{api.url}{probe}")).is_success
        return False

    async def answered_by(self, api: ChaosProcess) -> None:
        """Wait until this process answers."""

        async def look() -> bool:
            assert api.exit_code is None, api.log.read_text()
            return await self.is_answered_by(api)

        await until(look, f"{api.name} answers; its log: {api.log}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def work(self, number: int) -> None:
        """One client: a message after the other, most of them followed to their end, until `closing`."""
        random = Random(f"{self._seed} client {number}")
        async with asyncio.TaskGroup() as tasks:
            for count in itertools.count():
                if self.closing.is_set():
                    return
                thread = random.choice([None, f"own-{number}", *(f"shared-{n}" for n in range(THREADS))])
                if thread is not None:
                    thread += f"-{count // THREAD_MESSAGES}"
                agent = random.choice(["brief", "brief", "lengthy"])
                message_id = await self.submit(
                    f"c{number}-{count}", thread, random=random, agent=agent, priority=random.choice(PRIORITIES)
                )
                if message_id is None:
                    await asyncio.sleep(random.uniform(0.05, 0.3))
                    continue
                if random.random() < 0.2:
                    tasks.create_task(self.cancel(message_id, random, after=random.choice([0, random.uniform(0, 1)])))
                if random.random() < 0.5:
                    tasks.create_task(self.follow(message_id, random))
                if random.random() < 0.8:
                    await self.follow(message_id, random)

    async def watch_queue(self) -> None:
        """Look at the processing messages again and again until `closing`."""
        random = Random(f"{self._seed} watcher")
        while not self.closing.is_set():
            with contextlib.suppress(httpx2.TransportError):
                response = await self._http.get(f"{random.choice(self.urls)}/queue", params={"limit": 1000})
                if self._expected(response, {200, 503}):
                    running = [m["thread_id"] for m in response.json()["processing_messages"]]
                    self.seen.running.append(tuple(thread for thread in running if thread is not None))
            await asyncio.sleep(0.1)

    async def submit(self, content: str, thread: str | None, *, random: Random, **fields: str) -> str | None:
        """POST; the id if it is known. Whoever hears nothing asks again, with the same key, elsewhere."""
        began = time.monotonic()
        headers = {"Idempotency-Key": f"{content.replace(' ', '-')}-{random.getrandbits(64):x}"}
        body = {"message": content, "thread_id": thread, **fields}
        reply, message_id = Reply.REFUSED, None
        for _ in range(SUBMIT_TRIES):
            answer, message_id = await self._submit_once(random.choice(self.urls), body, headers)
            if answer is not Reply.REFUSED:
                reply = answer
            if answer is not Reply.UNKNOWN:
                break
        self.seen.submits.append(Submit(content, thread, began, time.monotonic(), reply, message_id))
        return message_id

    async def _submit_once(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[Reply, str | None]:
        try:
            response = await self._http.post(f"{url}/messages", json=body, headers=headers)
        except NOT_SENT:
            return Reply.REFUSED, None
        except httpx2.TransportError:
            return Reply.UNKNOWN, None
        if self._expected(response, {202, 503, 504}):
            return Reply.DONE, str(response.json()["message_id"])
        return Reply.REFUSED if response.status_code == 503 else Reply.UNKNOWN, None

    async def cancel(self, message_id: str, random: Random, *, after: float) -> None:
        """Once: by DELETE what is queued, or in any state."""
        await asyncio.sleep(after)
        url, reply = f"{random.choice(self.urls)}/messages/{message_id}", Reply.UNKNOWN
        try:
            running = random.random() < 0.5
            response = await (self._http.post(f"{url}/cancel") if running else self._http.delete(url))
            if self._expected(response, {200, 202, 409, 503, 504}, message_id):
                reply = Reply.DONE
            elif response.status_code in (409, 503):
                reply = Reply.REFUSED
        except NOT_SENT:
            reply = Reply.REFUSED
        except httpx2.TransportError:
            pass
        self.seen.cancels.append(Cancel(message_id, reply))

    async def follow(self, message_id: str, random: Random) -> None:
        """Read the stream to its end, from process to process; leave it now and then and come back; then look."""
        last = 0
        while True:
            leave_after = random.choice([None, None, random.randint(1, 20)])
            events = await self.read(random.choice(self.urls), message_id, last, at_most=leave_after)
            if events:
                last = events[-1].id
                if events[-1].type in TERMINAL_STATES:
                    break
            await asyncio.sleep(random.uniform(0, 0.2))
        with contextlib.suppress(httpx2.TransportError):
            response = await self._http.get(f"{random.choice(self.urls)}/messages/{message_id}/status")
            if self._expected(response, {200, 503}, message_id):
                status = response.json()
                self.seen.sightings.append(Sighting(message_id, status["state"], status["result"]))

    async def read(self, url: str, message_id: str, after: int, *, at_most: int | None = None) -> list[Event]:
        """One connection to the stream; what came of it until it ended, however that was."""
        events: list[Event] = []
        headers = {"Last-Event-ID": str(after)} if after else {}
        try:
            request = self._http.stream("GET", f"{url}/messages/{message_id}/stream", headers=headers, timeout=SILENCE)
            async with request as response:
                if self._expected(response, {200, 503}, message_id):
                    async for event in events_of(response.aiter_raw()):
                        events.append(event)
                        if len(events) == at_most:
                            break
        except httpx2.TransportError:
            pass
        if events:
            self.seen.readings.append(Reading(message_id, after, tuple(events)))
        return events

    async def get(self, url: str, path: str, **parameters: Any) -> Any:
        """A reply as JSON, None if there is no such thing; for a system that is whole again."""
        response = await self._http.get(f"{url}{path}", params=parameters)
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        return response.json()

    def _expected(self, response: httpx2.Response, statuses: set[int], message_id: str | None = None) -> bool:
        """Whether the request was done; notes statuses that it should never be answered with."""
        if response.status_code not in statuses:
            about = f"{response.request.method} {response.request.url} gave {response.status_code}"
            self.seen.surprises.append((message_id, about))
        return response.is_success


async def events_of(stream: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """The stored events of a stream of bytes; a piece at its end is dropped, as the specification says."""
    rest = b""
    async for data in stream:
        *blocks, rest = (rest + data).split(b"\n\n")
        for block in blocks:
            if (event := _event(block)) is not None:
                yield event


def _event(block: bytes) -> Event | None:
    lines = [line for line in block.split(b"\n") if not line.startswith((b":", b"retry:"))]
    fields = dict(line.decode().split(": ", 1) for line in lines)
    if "id" not in fields:
        return None
    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]), b"\n".join(lines))
