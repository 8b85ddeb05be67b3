"""Runs one graph in two ways by turns, in one process: alone, and by the worker.

`python -m bench.programs.runs rounds RUNS ROUNDS` prints one line of JSON: runs per second by round, for each way.
`python -m bench.programs.runs first` prints, for each line of its input, the milliseconds from the call of
`graph.astream` to its first chunk. DATABASE_URL and the other settings are those of a server; the agent is `clock`.

Alone is the code of a developer without a queue. It calls `graph.astream` of the same compiled graph with the mode
`messages` and `durability="sync"`. The saver is one of `app.checkpoints`, separate but on the same database. Each run
has a new thread, and as many run at a time as the worker has slots. The chunks are read and dropped. Such a run is no
attempt, so the saver checks no fence.

The worker is a complete `app.bootstrap.Runtime`: claims, leases, heartbeats, all stream modes that it requests, stored
events, finishes and maintenance. Its messages are stored in advance. Its time runs from the end of the queue's pause to
the end of the last message. Both ways have the garbage collector settings of a server.
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

from app.bootstrap import Runtime
from app.checkpoints.factory import checkpoint_url, open_saver
from app.config import Settings, load_settings
from app.models.messages import MessageState, NewMessage, Priority, new_message_id
from app.policy.lifecycle import TERMINAL
from app.startup import start_logging
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
    """Run the graph once from beginning to end. Return the seconds to its first chunk."""
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
    """Return the runs per second of the graph alone."""
    numbers = iter(range(runs))

    async def caller() -> None:
        for _ in numbers:
            await run_alone(graph)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return runs / (time.perf_counter() - began)


async def runs_by_worker(store: Store, runs: int) -> float:
    """Return the runs per second of the worker, for messages that were queued before it may claim."""
    await store.pause(paused=True)
    ids = [new_message_id() for _ in range(runs)]
    for message_id in ids:
        await store.add([_message(message_id)], max_queued=runs)
    began = time.perf_counter()
    await store.pause(paused=False)
    store.publish(READY)
    for message_id in reversed(ids):
        with store.subscribe(message_topic(message_id)) as changes:
            while (message := await store.get(TENANT, message_id)).state not in TERMINAL:
                await changes.wait(POLL_SECONDS)
        assert message.state is MessageState.COMPLETED, message.error
    return runs / (time.perf_counter() - began)


def _message(message_id: str) -> NewMessage:
    return NewMessage(
        id=message_id, tenant=TENANT, thread_id=None, agent="clock", content=CONTENT, priority=Priority.NORMAL
    )


def freeze() -> None:
    """Exempt all present objects from Python's garbage collection."""
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def graph_alone(settings: Settings, store: Store) -> AsyncIterator[Graph]:
    """Yield the graph with a saver of its own."""
    async with open_saver(checkpoint_url(settings), await store.queue_id()) as saver:
        yield clock.copy(update={"checkpointer": saver})


async def rounds(settings: Settings, runs: int, count: int) -> dict[str, list[float]]:
    """Measure both ways by turns, after a warm-up."""
    runtime = Runtime(settings, store=(store := make_store(settings)))
    concurrency = settings.worker_concurrency
    per_second: dict[str, list[float]] = {"alone": [], "worker": []}
    async with runtime.running(), graph_alone(settings, store) as graph:
        await runs_by_worker(store, WARM_RUNS)
        await runs_alone(graph, concurrency, WARM_RUNS)
        freeze()
        for _ in range(count):
            per_second["alone"].append(await runs_alone(graph, concurrency, runs))
            per_second["worker"].append(await runs_by_worker(store, runs))
    return per_second


async def first_chunks(settings: Settings) -> None:
    """Run the graph once for each line of input. Print the milliseconds to the first chunk."""
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
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # the same for both ways, as in our processes
    if way == "first":
        asyncio.run(first_chunks(settings))
    else:
        sys.stdout.write(json.dumps(asyncio.run(rounds(settings, *map(int, numbers)))))


if __name__ == "__main__":
    main()
