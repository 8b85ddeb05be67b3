"""Scenarios of threads and their states."""

from typing import Any

from tests.differential.scenarios.assistants import UNKNOWN
from tests.differential.scenarios.talk import Talk, refused, said

NAMED = "5b1d6a7e-0000-4000-8000-00000000000{}"


async def threads_are_made_and_changed(talk: Talk) -> None:
    threads = talk.client.threads
    thread = (await threads.create(thread_id=NAMED.format(1), metadata={"owner": "ann"}))["thread_id"]
    await refused(threads.create(thread_id=thread))
    await threads.create(thread_id=thread, if_exists="do_nothing")
    await threads.get(thread)
    await threads.update(thread, metadata={"page": 2})
    await threads.update(thread, metadata={"owner": "bob"}, return_minimal=True)
    await threads.get(thread)
    await threads.delete(thread)
    await refused(threads.get(thread))


async def threads_are_searched(talk: Talk) -> None:
    threads = talk.client.threads
    own = {"search": "this"}
    ids = [(await threads.create(metadata={**own, "at": at}))["thread_id"] for at in range(3)]
    await talk.client.runs.wait(ids[1], "chat", input=said("Hello"))
    await threads.search(metadata=own, sort_by="created_at", sort_order="asc")
    await threads.search(metadata=own, limit=1, offset=1, sort_by="created_at", sort_order="desc")
    await threads.search(metadata={**own, "at": 2})
    await threads.search(metadata=own, select=["thread_id", "metadata"], sort_by="created_at", sort_order="asc")
    await threads.search(ids=[ids[0]])
    await threads.search(metadata=own, status="busy")
    await threads.search(metadata={"graph_id": "chat", **own})
    await threads.count(metadata=own)
    await threads.count(metadata=own, status="idle")


async def threads_keep_nested_metadata(talk: Talk) -> None:
    threads = talk.client.threads
    nested = {"user": {"name": "ann", "tags": ["a", "b"]}, "nested": "yes"}
    thread = (await threads.create(metadata=nested))["thread_id"]
    await threads.update(thread, metadata={"user": {"name": "bob"}, "list": [1]})
    await threads.get(thread)
    await threads.search(metadata={"nested": "yes"})
    await refused(threads.search(metadata={"user": {"name": "bob"}, "nested": "yes"}))
    await refused(threads.search(metadata={"nested": "yes", "list": [1]}))


async def threads_are_copied(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "chat", input=said("Hello"))
    copied: Any = (await talk.http.post(f"/threads/{thread}/copy")).json()  # the client drops the reply
    await talk.client.threads.get_state(copied["thread_id"])
    await talk.client.threads.get_history(copied["thread_id"])
    await talk.client.runs.wait(copied["thread_id"], "chat", input=said("Again"))
    await talk.client.threads.get_state(thread)


async def threads_of_wrong_ids(talk: Talk) -> None:
    threads = talk.client.threads
    for wrong in (UNKNOWN, "none"):
        await refused(threads.get(wrong))
        await refused(threads.update(wrong, metadata={}))
        await refused(threads.delete(wrong))
        await refused(threads.copy(wrong))
        await refused(threads.get_state(wrong))
        await refused(threads.get_history(wrong))
        await refused(threads.update_state(wrong, {"messages": []}))


async def threads_of_wrong_bodies(talk: Talk) -> None:
    for path, body in (
        ("/threads", {"thread_id": "none"}),
        ("/threads", {"metadata": 1}),
        ("/threads", {"if_exists": "never"}),
        ("/threads/search", {"limit": 0}),
        ("/threads/search", {"limit": 100_000}),
        ("/threads/search", {"status": "none"}),
        ("/threads/search", {"sort_by": "none"}),
        ("/threads/search", {"metadata": []}),
        ("/threads/count", {"status": "none"}),
        ("/threads/search", []),
    ):
        await refused(talk.http.post(path, json=body))


async def states_are_read_and_changed(talk: Talk) -> None:
    threads = talk.client.threads
    thread = await talk.thread()
    await threads.get_state(thread)
    await threads.get_history(thread)
    await talk.client.runs.wait(thread, "steps", input=said("Hello"))
    await threads.get_state(thread)
    history = await threads.get_history(thread)
    place: Any = history[1]["checkpoint"]
    await threads.get_state(thread, checkpoint_id=place["checkpoint_id"])
    await threads.get_state(thread, checkpoint=place | {"checkpoint_ns": ""})
    await threads.get_history(thread, limit=1)
    await talk.http.get(f"/threads/{thread}/history", params={"limit": 2})
    note = {"messages": [{"role": "assistant", "content": "Noted.", "id": "noted"}]}
    await threads.update_state(thread, note, as_node="first")
    await threads.get_state(thread)
    await talk.client.runs.wait(thread, "steps", input=None)
    await threads.update_state(thread, note)
    await threads.update_state(thread, note, as_node="first", checkpoint=place)
    await threads.get_state(thread)
    await threads.get(thread)
    await threads.get_history(thread)


async def states_before_a_checkpoint(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "steps", input=said("Hello"))
    (state,) = await talk.client.threads.get_history(thread, limit=1)
    await refused(talk.client.threads.get_history(thread, limit=2, before=state["checkpoint"]))


async def states_of_wrong_places(talk: Talk) -> None:
    threads = talk.client.threads
    thread = await talk.thread()
    await refused(threads.update_state(thread, {"messages": []}))
    await talk.client.runs.wait(thread, "notes", input={"topic": "bees"})
    await refused(threads.update_state(thread, {"notes": ["more"]}, as_node="none"))
    await refused(threads.update_state(thread, {"unknown": 1}, as_node="note"))
    await refused(threads.get_state(thread, checkpoint_id=UNKNOWN))
    await refused(threads.get_state(thread, checkpoint_id="none"))
    await refused(threads.get_history(thread, limit=0))


SCENARIOS = (
    threads_are_made_and_changed,
    threads_are_searched,
    threads_keep_nested_metadata,
    threads_are_copied,
    threads_of_wrong_ids,
    threads_of_wrong_bodies,
    states_are_read_and_changed,
    states_before_a_checkpoint,
    states_of_wrong_places,
)
