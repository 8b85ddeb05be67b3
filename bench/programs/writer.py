"""A worker process reduced to its writes of events: `python -m bench.programs.writer DATABASE_URL`.

It reads lines of commands, and answers each with a line of JSON:
- `finished EVENTS` makes an ended message with a log of EVENTS chunks, and returns its id.
- `running COUNT` makes COUNT messages in progress, and returns their ids.
- `write EVENTS BURST PAUSE` appends to the last running message, BURST chunks every PAUSE seconds, and finishes it.
"""

import asyncio
import json
import sys
import time

from app.config import Settings
from app.models.attempts import Completed, Lease
from app.models.events import NewEvent
from app.models.messages import NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import Store

AGENT = "clock"
"""An agent that the server has too: some of its surfaces show only messages of their agent."""

LEASE_SECONDS = 3600.0
MAX_BURST = 500
BATCH = 200


async def begin(store: Store, count: int) -> list[Lease]:
    """Add `count` messages and claim them."""
    leases: list[Lease] = []
    while len(leases) < count:
        batch = min(BATCH, count - len(leases))
        await store.add(
            [
                NewMessage(
                    id=new_message_id(),
                    tenant="default",
                    thread_id=None,
                    agent=AGENT,
                    content="What is the capital of France?",
                    priority=Priority.NORMAL,
                )
                for _ in range(batch)
            ],
            max_queued=10**9,
        )
        claims = await store.claim("bench", [AGENT], batch, lease_seconds=LEASE_SECONDS)
        leases += [claim.lease for claim in claims]
    return leases


async def write(store: Store, lease: Lease, events: int, burst: int, pause: float) -> None:
    """Append the chunks at a steady rate, however long each write takes, then finish the message."""
    chunks = [NewEvent.chunk("content", f"token {index} ", index) for index in range(events)]
    due = time.perf_counter()
    for at in range(0, events, burst):
        await store.append(lease, chunks[at : at + burst])
        due += pause
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await store.finish(lease, Completed(""))


async def carry_out(store: Store, command: list[str], leases: list[Lease]) -> object:
    """Carry out one command and return its answer."""
    match command:
        case ["finished", events]:
            (lease,) = await begin(store, 1)
            await write(store, lease, int(events), MAX_BURST, 0)
            return lease.message_id
        case ["running", count]:
            leases[:] = await begin(store, int(count))
            return [lease.message_id for lease in leases]
        case ["write", events, burst, pause]:
            await write(store, leases[-1], int(events), int(burst), float(pause))
            return None
        case _:
            raise ValueError(f"unknown command: {command}")


async def run(url: str) -> None:
    """Carry out commands until the standard input ends."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    leases: list[Lease] = []
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await carry_out(store, line.split(), leases)), flush=True)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
