"""Scenarios of runs: made, waited for, listed, cancelled, one behind the other."""

from typing import Any

from tests.differential.scenarios.assistants import UNKNOWN
from tests.differential.scenarios.talk import Talk, read, refused, said

NEW = "5b1d6a7e-0000-4000-8000-00000000001{}"


async def runs_are_made_and_shown(talk: Talk) -> None:
    runs = talk.client.runs
    thread = await talk.thread()
    run: Any = await runs.create(
        thread,
        "chat",
        input=said("Hello"),
        metadata={"page": 7},
        config={"tags": ["a"], "recursion_limit": 40},
        stream_mode=["values", "updates"],
    )
    await talk.until_status(thread, run["run_id"], "success")
    await runs.get(thread, run["run_id"])
    await runs.join(thread, run["run_id"])
    await runs.list(thread)
    await runs.list(thread, status="error")
    await runs.list(thread, status="success", limit=1)
    await runs.list(thread, select=["run_id", "status"])
    await talk.client.threads.get(thread)


async def runs_make_their_thread(talk: Talk) -> None:
    await refused(talk.client.runs.wait(NEW.format(1), "chat", input=said("Hello")))
    await talk.client.runs.wait(NEW.format(1), "chat", input=said("Hello"), if_not_exists="create")
    await talk.client.threads.get(NEW.format(1))


async def runs_take_a_context(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "notes", input={"topic": "bees"}, context={"city": "Rome"})
    await talk.client.runs.wait(thread, "notes", input={"topic": "ants"})
    await talk.client.runs.list(thread)


async def runs_of_wrong_ids(talk: Talk) -> None:
    runs = talk.client.runs
    thread = await talk.thread()
    for wrong in (UNKNOWN, "none"):
        await refused(runs.get(thread, wrong))
        await refused(runs.join(thread, wrong))
        await refused(read(runs.join_stream(thread, wrong)))
        await refused(runs.cancel(thread, wrong))
        await refused(runs.delete(thread, wrong))
        await refused(runs.create(wrong, "chat", input=said("Hello")))
        await refused(runs.list(wrong))
        await refused(runs.create(thread, wrong, input=said("Hello")))


async def runs_of_wrong_bodies(talk: Talk) -> None:
    thread = await talk.thread()
    for field, value in (
        ("assistant_id", 7),
        ("multitask_strategy", "none"),
        ("if_not_exists", "none"),
        ("on_disconnect", "none"),
        ("on_completion", "none"),
        ("stream_mode", 7),
        ("config", []),
        ("metadata", []),
        ("after_seconds", "soon"),
        ("command", {"unknown": 1}),
        ("webhook", 7),
        ("interrupt_before", ["none"]),
        ("checkpoint_id", UNKNOWN),
    ):
        body = {"assistant_id": "chat", "input": said("Hello"), field: value}
        await refused(talk.http.post(f"/threads/{thread}/runs", json=body))
        await talk.until_idle(thread)
    await refused(talk.http.post(f"/threads/{thread}/runs", json={"input": said("Hello")}))
    await refused(talk.http.post(f"/threads/{thread}/runs", content=b"{", headers={"content-type": "application/json"}))


async def failed_runs(talk: Talk) -> None:
    thread = await talk.thread()
    await refused(talk.client.runs.wait(thread, "fails", input=said("Hello")))
    (run,) = await talk.client.runs.list(thread)
    await refused(talk.client.runs.join(thread, run["run_id"]))
    await talk.client.threads.get(thread)
    await talk.client.threads.get_state(thread)
    await talk.client.runs.list(thread, status="error")
    await talk.client.runs.wait(thread, "chat", input=said("Again"))
    await talk.client.threads.get(thread)


async def ended_runs_are_deleted(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "chat", input=said("Hello"))
    (run,) = await talk.client.runs.list(thread)
    await refused(talk.client.runs.delete(thread, run["run_id"]))
    await refused(talk.client.runs.get(thread, run["run_id"]))
    await talk.client.threads.get_state(thread)


async def runs_are_cancelled(talk: Talk) -> None:
    thread = await talk.thread()
    run = await talk.begun(thread)
    await talk.client.runs.get(thread, run)
    await talk.client.threads.get(thread)
    await talk.client.runs.cancel(thread, run, wait=True)
    talk.control.release("second")
    await talk.until_idle(thread)
    await talk.client.runs.get(thread, run)
    await talk.client.threads.get(thread)
    await talk.client.threads.get_state(thread)
    await refused(talk.client.runs.join(thread, run))
    await refused(talk.client.runs.cancel(thread, run))
    await talk.client.runs.wait(thread, "steps", input=None)


async def runs_are_rolled_back(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "chat", input=said("Hello"))
    run = await talk.begun(thread, "Again")
    await talk.client.runs.cancel(thread, run, wait=True, action="rollback")
    talk.control.release("second")
    await talk.until_idle(thread)
    await talk.client.threads.get_state(thread)
    await refused(talk.client.runs.get(thread, run))
    await talk.client.threads.get(thread)


async def many_runs_are_cancelled(talk: Talk) -> None:
    thread = await talk.thread()
    run = await talk.begun(thread)
    waiting: Any = await talk.client.runs.create(thread, "chat", input=said("Next"))
    await talk.client.runs.cancel_many(thread_id=thread, run_ids=[run, waiting["run_id"]])
    talk.control.release("second")
    await talk.until_idle(thread)
    await talk.client.runs.list(thread)
    await refused(talk.client.runs.cancel_many(thread_id=thread, run_ids=[UNKNOWN]))
    await refused(talk.http.post("/runs/cancel", json={}))


async def runs_are_enqueued(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.begun(thread)
    behind: Any = await talk.client.runs.create(thread, "chat", input=said("Next"), multitask_strategy="enqueue")
    await talk.client.runs.get(thread, behind["run_id"])
    talk.control.release("second")
    await talk.client.runs.join(thread, behind["run_id"])
    await talk.client.runs.list(thread)


async def busy_threads_reject(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.begun(thread)
    await refused(talk.client.runs.create(thread, "chat", input=said("No"), multitask_strategy="reject"))
    talk.control.release("second")
    await talk.until_idle(thread)
    await talk.client.runs.list(thread)


async def runs_interrupt_others(talk: Talk) -> None:
    thread = await talk.thread()
    run = await talk.begun(thread)
    second: Any = await talk.client.runs.create(thread, "chat", input=said("Now"), multitask_strategy="interrupt")
    talk.control.release("second")
    await talk.client.runs.join(thread, second["run_id"])
    await talk.client.runs.get(thread, run)
    await talk.client.threads.get_state(thread)


async def runs_roll_others_back(talk: Talk) -> None:
    thread = await talk.thread()
    run = await talk.begun(thread)
    second: Any = await talk.client.runs.create(thread, "chat", input=said("Now"), multitask_strategy="rollback")
    talk.control.release("second")
    await talk.client.runs.join(thread, second["run_id"])
    await refused(talk.client.runs.get(thread, run))
    await talk.client.threads.get_state(thread)


async def runs_without_a_thread(talk: Talk) -> None:
    runs = talk.client.runs
    await runs.wait(None, "chat", input=said("Hello"))
    await refused(runs.wait(None, "fails", input=said("Hello")))
    kept: Any = await runs.create(None, "chat", input=said("Hello"), on_completion="keep")
    await runs.join(kept["thread_id"], kept["run_id"])
    await talk.client.threads.get_state(kept["thread_id"])
    await refused(runs.wait(None, "asks", input=said("Hello")))
    await refused(runs.wait(None, "asks", command={"resume": "yes"}))
    await refused(runs.wait(None, "chat", input=None))


async def runs_without_a_thread_in_streams(talk: Talk) -> None:
    await read(talk.client.runs.stream(None, "chat", input=said("Hello"), stream_mode=["values", "messages-tuple"]))


async def a_run_without_a_thread_is_joined(talk: Talk) -> None:
    body = {"assistant_id": "chat", "input": said("Hello"), "stream_mode": "updates", "stream_resumable": True}
    response = await talk.http.post("/runs/stream", json={**body, "on_completion": "keep"})
    run = response.headers["content-location"].rsplit("/", 1)[1]
    await talk.http.get(f"/runs/{run}/stream", headers={"Last-Event-ID": "-1"})


async def runs_are_cancelled_by_status(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.begun(thread)
    await talk.client.runs.create(thread, "chat", input=said("Next"))
    await talk.client.runs.cancel_many(status="all")
    await talk.until_idle(thread)
    talk.control.release("second")
    await talk.client.runs.list(thread)


async def runs_in_batches(talk: Talk) -> None:
    payloads: Any = [{"assistant_id": "chat", "input": said(text)} for text in ("One", "Two")]
    wrong: Any = {"assistant_id": "none", "input": {}}
    await talk.client.runs.create_batch(payloads)
    await refused(talk.client.runs.create_batch([*payloads, wrong]))


async def runs_begin_later(talk: Talk) -> None:
    thread = await talk.thread()
    run: Any = await talk.client.runs.create(thread, "chat", input=said("Hello"), after_seconds=1)
    await talk.client.runs.get(thread, run["run_id"])
    await talk.client.runs.join(thread, run["run_id"])


SCENARIOS = (
    runs_are_made_and_shown,
    runs_make_their_thread,
    runs_take_a_context,
    runs_of_wrong_ids,
    runs_of_wrong_bodies,
    failed_runs,
    ended_runs_are_deleted,
    runs_are_cancelled,
    runs_are_rolled_back,
    many_runs_are_cancelled,
    runs_are_enqueued,
    busy_threads_reject,
    runs_interrupt_others,
    runs_roll_others_back,
    runs_without_a_thread,
    runs_without_a_thread_in_streams,
    a_run_without_a_thread_is_joined,
    runs_are_cancelled_by_status,
    runs_in_batches,
    runs_begin_later,
)
