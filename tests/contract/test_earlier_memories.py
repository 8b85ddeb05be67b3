"""Memories from before messages were stored one by one are read as they are, and grow no more after the next turn."""

from pathlib import Path
from typing import Any

import psycopg
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row

from app.checkpoints.factory import open_saver
from app.checkpoints.serializer import Serializer
from tests.contract.test_memory_growth import KEY, QUEUE, expected, listed, place, stored_messages, texts, turn
from tests.postgres_server import PostgresServer

OLD_TURNS = 5


async def write(saver: BaseCheckpointSaver[Any]) -> None:
    """Save a conversation as LangGraph's saver does, with all messages in each checkpoint."""
    parent, version = place(), None
    messages: list[Any] = []
    for number in range(1, OLD_TURNS + 1):
        asked = HumanMessage(f"question {number}", id=f"m{number}")
        messages = [*messages, asked, AIMessage(f"answer to question {number}", id=f"a{number}")]
        version = saver.get_next_version(version, None)
        checkpoint: Checkpoint = {
            **empty_checkpoint(),
            "channel_values": {"messages": messages},
            "channel_versions": {"messages": version},
        }
        config: Any = {**parent, "metadata": {"run_id": f"m{number}"}}
        parent = await saver.aput(config, checkpoint, {"source": "loop", "step": number}, {"messages": version})


async def check(url: str) -> None:
    async with open_saver(url, QUEUE, history=2) as saver:
        assert await texts(saver) == expected(*range(1, OLD_TURNS + 1))
        assert len(await listed(saver)) == OLD_TURNS
        assert stored_messages(url) == 0
        await turn(saver, OLD_TURNS + 1)
        assert await texts(saver) == expected(*range(1, OLD_TURNS + 2))
        assert stored_messages(url) == 2 * (OLD_TURNS + 1)
        left = [each.metadata["run_id"] for each in await listed(saver)]
        assert list(dict.fromkeys(left)) == ["m6", "m5", "m4"]
        old = (await listed(saver))[-1]
        assert len(old.checkpoint["channel_values"]["messages"]) == 8
        assert await saver.copy_until(KEY, old.checkpoint["id"], "default/thread/copy")
        assert await texts(saver, "default/thread/copy") == expected(1, 2, 3, 4)


async def test_a_file_of_langgraphs_saver(tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        saver.serde = Serializer()
        await write(saver)
    async with open_saver(f"sqlite:///{tmp_path}/checkpoints.db", QUEUE):
        pass
    await check(f"sqlite:///{tmp_path}/checkpoints.db")


async def test_tables_of_langgraphs_saver(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS agent_queue_memory CASCADE")
    async with open_saver(postgres.url, QUEUE) as new:
        await new.setup()  # type: ignore[attr-defined]  # each engine's
    async with await psycopg.AsyncConnection.connect(
        postgres.url, autocommit=True, row_factory=dict_row, options="-c search_path=agent_queue_memory"
    ) as connected:
        await write(AsyncPostgresSaver(connected, serde=Serializer()))
    await check(postgres.url)
