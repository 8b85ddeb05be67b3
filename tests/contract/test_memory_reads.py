"""Reads of one conversation at the same time. They share what the process knows of it."""

import asyncio

from langchain_core.runnables import RunnableConfig

from app.checkpoints.factory import open_saver
from tests.contract.test_memory_growth import KEY, QUEUE, Saver, expected, listed, place, turn

TURNS = 6


async def texts_at(saver: Saver, config: RunnableConfig) -> list[str]:
    found = await saver.aget_tuple(config)
    return [each.content for each in found.checkpoint["channel_values"]["messages"]]


async def test_reads_of_different_states_do_not_disturb_each_other(memory_url: str) -> None:
    """A longer list is read while the read of a shorter one ends."""
    async with open_saver(memory_url, QUEUE, history=TURNS) as saver:
        for number in range(1, TURNS + 1):
            await turn(saver, number)
        ends = {
            len(found.checkpoint["channel_values"]["messages"]): found.config
            for found in await listed(saver)
            if found.metadata["step"] % 3 == 1
        }
        short, middle, long = ends[2], ends[2 * TURNS - 4], place()
        for configs in ((long, short), (short, long), (long, short, short), (long, short, middle, long)) * 5:
            saver.drop_cached(KEY)
            await texts_at(saver, middle)
            read = await asyncio.gather(*(texts_at(saver, config) for config in configs))
            turns = {id(short): 1, id(middle): TURNS - 2, id(long): TURNS}
            assert read == [expected(*range(1, turns[id(config)] + 1)) for config in configs]
