"""Scenarios of streams: each mode, with and without subgraphs, created and joined."""

from typing import Any

from tests.differential.scenarios.talk import Talk, read, refused, said

MODES = ("values", "updates", "messages", "messages-tuple", "custom", "tasks", "checkpoints", "debug", "events")


async def _streamed(talk: Talk, graph: str, modes: Any, *, subgraphs: bool = False) -> None:
    thread = await talk.thread()
    stream = talk.client.runs.stream(thread, graph, input=said("Hello"), stream_mode=modes, stream_subgraphs=subgraphs)
    await refused(read(stream))


async def chat_in_values(talk: Talk) -> None:
    await _streamed(talk, "chat", ["values"])


async def chat_in_updates(talk: Talk) -> None:
    await _streamed(talk, "chat", ["updates"])


async def chat_in_messages(talk: Talk) -> None:
    await _streamed(talk, "chat", ["messages"])


async def chat_in_messages_tuple(talk: Talk) -> None:
    await _streamed(talk, "chat", ["messages-tuple"])


async def chat_in_tasks(talk: Talk) -> None:
    await _streamed(talk, "chat", ["tasks"])


async def chat_in_checkpoints(talk: Talk) -> None:
    await _streamed(talk, "chat", ["checkpoints"])


async def chat_in_debug(talk: Talk) -> None:
    await _streamed(talk, "chat", ["debug"])


async def chat_in_events(talk: Talk) -> None:
    await _streamed(talk, "chat", ["events"])


async def chat_in_many_modes(talk: Talk) -> None:
    await _streamed(talk, "chat", ["values", "updates", "messages-tuple"])


async def tools_in_messages(talk: Talk) -> None:
    await _streamed(talk, "tools", ["messages"])


async def tools_in_messages_tuple(talk: Talk) -> None:
    await _streamed(talk, "tools", ["messages-tuple", "custom"])


async def tools_in_updates_and_values(talk: Talk) -> None:
    await _streamed(talk, "tools", ["updates", "values"])


async def reports_in_custom(talk: Talk) -> None:
    await _streamed(talk, "reports", ["custom", "messages-tuple"])


async def subgraphs_in_each_mode(talk: Talk) -> None:
    for mode in ("values", "updates", "messages", "messages-tuple", "custom", "tasks", "checkpoints", "debug"):
        await _streamed(talk, "outer", [mode], subgraphs=True)


async def subgraphs_that_are_not_shown(talk: Talk) -> None:
    await _streamed(talk, "outer", ["values", "updates", "messages-tuple"])


async def failures_in_streams(talk: Talk) -> None:
    await _streamed(talk, "fails", ["values", "updates", "custom"])
    await _streamed(talk, "fails", ["messages-tuple"])


async def streams_are_joined(talk: Talk) -> None:
    thread = await talk.thread()
    created: list[Any] = []
    stream = talk.client.runs.stream(
        thread,
        "chat",
        input=said("Hello"),
        stream_mode=["values", "messages-tuple"],
        stream_resumable=True,
        on_run_created=created.append,
    )
    await read(stream)
    run = created[0]["run_id"]
    await read(talk.client.runs.join_stream(thread, run, last_event_id="-1"))
    await read(talk.client.runs.join_stream(thread, run, stream_mode="values", last_event_id="-1"))


async def a_running_run_is_joined(talk: Talk) -> None:
    thread = await talk.thread()
    run = await talk.begun(thread, stream_mode=["updates", "values"], stream_resumable=True)
    talk.control.release("second")
    await read(talk.client.runs.join_stream(thread, run, stream_mode=["updates"], last_event_id="-1"))


async def unknown_modes(talk: Talk) -> None:
    await _streamed(talk, "chat", ["none"])


SCENARIOS = (
    chat_in_values,
    chat_in_updates,
    chat_in_messages,
    chat_in_messages_tuple,
    chat_in_tasks,
    chat_in_checkpoints,
    chat_in_debug,
    chat_in_events,
    chat_in_many_modes,
    tools_in_messages,
    tools_in_messages_tuple,
    tools_in_updates_and_values,
    reports_in_custom,
    subgraphs_in_each_mode,
    subgraphs_that_are_not_shown,
    failures_in_streams,
    streams_are_joined,
    a_running_run_is_joined,
    unknown_modes,
)
