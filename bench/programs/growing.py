"""Gives messages of growing threads to worker processes: `python -m bench.programs.growing THREADS TURNS WORKERS`.

The settings name the queue. Each line of input starts a round when there are WORKERS workers: the messages are queued
in new threads while the queue is paused, then the workers may claim. It prints one line of JSON for each round: the
messages a second, and how many messages ran more than once because their lease was lost.
"""

import asyncio
import json
import sys
import time

from app.config import load_settings
from app.models.messages import MessageState, NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import READY, Store, message_topic

TENANT = "bench"
POLL_SECONDS = 0.1


def _message(thread_id: str) -> NewMessage:
    return NewMessage(
        id=new_message_id(),
        tenant=TENANT,
        thread_id=thread_id,
        agent="clock",
        content="When?",
        priority=Priority.NORMAL,
    )


async def measure(store: Store, threads: int, turns: int) -> dict[str, float]:
    """Run one round."""
    await store.pause(paused=True)
    names = [f"{time.time_ns()} {number}" for number in range(threads)]
    new = [_message(name) for _ in range(turns) for name in names]
    for each in new:
        await store.add([each], max_queued=len(new))
    began = time.perf_counter()
    await store.pause(paused=False)
    store.publish(READY)
    ended = []
    for each in reversed(new):
        with store.subscribe(message_topic(each.id)) as changes:
            while (message := await store.get(TENANT, each.id)).completed_at is None:
                await changes.wait(POLL_SECONDS)
        assert message.state is MessageState.COMPLETED, message.error
        ended.append(message)
    return {
        "per_second": len(new) / (time.perf_counter() - began),
        "lost": sum(message.attempt > 1 for message in ended),
    }


async def main(threads: int, turns: int, workers: int) -> None:
    store = make_store(load_settings())
    await store.open()
    while await asyncio.to_thread(sys.stdin.readline):
        while len(await store.list_workers()) < workers:  # noqa: ASYNC110  nothing tells of a new worker
            await asyncio.sleep(POLL_SECONDS)
        print(json.dumps(await measure(store, threads, turns)), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
