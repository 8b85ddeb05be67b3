"""Runs of one graph, alone and by the worker, in turn in one process.

`python -m bench.programs.runs rounds RUNS ROUNDS` prints one line of JSON: runs a second by round, each way.
`python -m bench.programs.runs first` prints how many milliseconds `graph.astream` takes to its first chunk, a line for
each line that it reads. DATABASE_URL and the other settings are those of a server; the agent is `clock`.

What is compared. Alone is what somebody writes who needs no queue: `graph.astream` of the same compiled graph with the
mode `messages`, `durability="sync"`, and a saver of `app.checkpoints` of its own on the same database, a new thread
for each run, as many at a time as the worker has slots; the chunks are looked at and dropped. Such a run is no
attempt, so that the saver takes and looks for no fence. The worker is all of `app.bootstrap.Runtime`: its claims,
leases and heart, the graph in all the modes that it asks for, the events in the stored log, the finish with its event,
and its upkeep. The messages are stored before. Its time is from the moment that the queue goes on until the last
message has ended. Python's garbage collector is set as in a server, for both alike.
"""

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from langchain_core.messages import AIMessageChunk, HumanMessage
from langgraph.pregel import Pregel

from app.bootstrap import Runtime, start_logging
from app.checkpoints.factory import checkpoint_url, open_saver
from app.config import Settings, load_settings
from app.models.messages import MessageState, NewMessage, Priority, new_message_id
from app.policy.lifecycle import TERMINAL
from app.store.factory import make_store
from app.store.ports import READY, Store, message_topic
from bench.programs.agents import clock

CONTENT = "What time is it?"
TENANT = "bench"
POLL_SECONDS = 0.5
WARM_RUNS = 20
GARBAGE_THRESHOLDS = (10_000, 10, 10)

Graph = Pregel[Any, Any, Any, Any]


async def run_alone(graph: Graph) -> float:
    """One run from its beginning to its end; the seconds to its first chunk."""
    began = time.perf_counter()
    first = 0.0
    chunks = graph.astream(
        {"messages": [HumanMessage(CONTENT)]},
        {"configurable": {"thread_id": new_message_id()}},
        stream_mode="messages",
        durability="sync",
    )
    async for chunk, _ in cast(AsyncIterator[tuple[AIMessageChunk, Any]], chunks):
        if chunk.text and not first:
            first = time.perf_counter() - began
    return first


async def runs_alone(graph: Graph, concurrency: int, runs: int) -> float:
    """Runs a second."""
    numbers = iter(range(runs))

    async def caller() -> None:
        for _ in numbers:
            await run_alone(graph)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return runs / (time.perf_counter() - began)


async def runs_by_worker(store: Store, runs: int) -> float:
    """Runs a second of messages that are queued before the worker may claim."""
    await store.pause(paused=True)
    ids = [new_message_id() for _ in range(runs)]
    for message_id in ids:
        await store.add([_message(message_id)], max_queued=runs)
    began = time.perf_counter()
    await store.pause(paused=False)
    store.publish(READY)
    for message_id in reversed(ids):
        with store.subscribe(message_topic(message_id)) as news:
            while (message := await store.get(TENANT, message_id)).state not in TERMINAL:
                await news.wait(POLL_SECONDS)
        assert message.state is MessageState.COMPLETED, message.error
    return runs / (time.perf_counter() - began)


def _message(message_id: str) -> NewMessage:
    return NewMessage(
        id=message_id, tenant=TENANT, thread_id=None, agent="clock", content=CONTENT, priority=Priority.NORMAL
    )


def freeze() -> None:
    """Keep Python's garbage collector off all that is there."""
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def graph_alone(settings: Settings, store: Store) -> AsyncIterator[Graph]:
    """The graph with its memory."""
    async with open_saver(checkpoint_url(settings), await store.queue_id()) as saver:
        yield clock.copy(update={"checkpointer": saver})


async def rounds(settings: Settings, runs: int, count: int) -> dict[str, list[float]]:
    """Both ways in turn, each warm."""
    runtime = Runtime(settings, store=(store := make_store(settings)))
    concurrency = settings.worker_concurrency
    told: dict[str, list[float]] = {"alone": [], "worker": []}
    async with runtime.running(), graph_alone(settings, store) as graph:
        await runs_by_worker(store, WARM_RUNS)
        await runs_alone(graph, concurrency, WARM_RUNS)
        freeze()
        for _ in range(count):
            told["alone"].append(await runs_alone(graph, concurrency, runs))
            told["worker"].append(await runs_by_worker(store, runs))
    return told


async def first_chunks(settings: Settings) -> None:
    """One run for each line."""
    store = make_store(settings)
    await store.open()
    async with graph_alone(settings, store) as graph:
        for _ in range(WARM_RUNS):
            await run_alone(graph)
        freeze()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(f"{await run_alone(graph) * 1000}\n")
            sys.stdout.flush()
    await store.close()


def main() -> None:
    way, *numbers = sys.argv[1:]
    settings = load_settings()
    start_logging(settings)
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as in a process of ours, for both ways alike
    if way == "first":
        asyncio.run(first_chunks(settings))
    else:
        sys.stdout.write(json.dumps(asyncio.run(rounds(settings, *map(int, numbers)))))


if __name__ == "__main__":
    main()
