"""Scenarios of questions to a human, of stops, commands and forks."""

from typing import Any

from tests.differential.scenarios.talk import Talk, read, refused, said

YES: Any = {"resume": "yes"}


async def a_question_is_answered(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "asks", input=said("Hello"))
    await talk.client.threads.get(thread)
    await talk.client.threads.get_state(thread)
    await talk.client.threads.search(ids=[thread], status="interrupted")
    await talk.client.runs.wait(thread, "asks", command=YES)
    await talk.client.runs.list(thread)
    await talk.client.threads.get(thread)
    await talk.client.threads.get_history(thread)
    await refused(talk.client.runs.wait(thread, "asks", command=YES))


async def a_question_in_streams(talk: Talk) -> None:
    thread = await talk.thread()
    modes: Any = ["values", "updates", "messages-tuple"]
    await read(talk.client.runs.stream(thread, "asks", input=said("Hello"), stream_mode=modes))
    await read(talk.client.runs.stream(thread, "asks", command=YES, stream_mode=modes))


async def a_question_in_tasks(talk: Talk) -> None:
    thread = await talk.thread()
    modes: Any = ["tasks", "checkpoints"]
    await read(talk.client.runs.stream(thread, "asks", input=said("Hello"), stream_mode=modes))
    await read(talk.client.runs.stream(thread, "asks", command=YES, stream_mode=modes))


async def two_questions_are_answered(talk: Talk) -> None:
    thread = await talk.thread()
    asked: Any = await talk.client.runs.wait(thread, "asks_twice", input={"topic": "bees"})
    await talk.client.threads.get(thread)
    answers = {each["id"]: each["value"]["ask"] for each in asked["__interrupt__"]}
    await talk.client.runs.wait(thread, "asks_twice", command={"resume": answers})


async def one_answer_for_two_questions(talk: Talk) -> None:
    thread = await talk.thread()
    asked: Any = await talk.client.runs.wait(thread, "asks_twice", input={"topic": "bees"})
    await refused(talk.client.runs.wait(thread, "asks_twice", command=YES))
    first = {asked["__interrupt__"][0]["id"]: "one"}
    await refused(talk.client.runs.wait(thread, "asks_twice", command={"resume": first}))


async def a_question_inside_a_subgraph(talk: Talk) -> None:
    thread = await talk.thread()
    stream = talk.client.runs.stream(
        thread, "asks_inside", input=said("Hello"), stream_mode=["values", "updates"], stream_subgraphs=True
    )
    await read(stream)
    await talk.client.threads.get_state(thread)
    await talk.client.threads.get_state(thread, subgraphs=True)
    await talk.client.runs.wait(thread, "asks_inside", command=YES)


async def new_input_beside_a_question(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "asks", input=said("Hello"))
    await talk.client.runs.wait(thread, "chat", input=said("Never mind"))
    await talk.client.threads.get(thread)
    await talk.client.runs.list(thread)


async def a_run_behind_a_question(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.begun(thread)
    asking: Any = await talk.client.runs.create(thread, "asks", input=said("Hello"))
    behind: Any = await talk.client.runs.create(thread, "asks", input=said("Next"))
    talk.control.release("second")
    await talk.client.runs.join(thread, asking["run_id"])
    await talk.until_idle(thread)
    await talk.client.runs.get(thread, behind["run_id"])
    await talk.client.threads.get(thread)
    await refused(talk.client.runs.wait(thread, "asks", command=YES))


async def a_question_is_joined(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "asks", input=said("Hello"))
    (run,) = await talk.client.runs.list(thread)
    await talk.client.runs.join(thread, run["run_id"])
    await refused(talk.client.runs.cancel(thread, run["run_id"]))


async def an_answer_with_fields(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "asks", input=said("Hello"))
    await refused(talk.client.runs.wait(thread, "asks", command=YES, metadata={"page": 8}))


async def runs_stop_at_nodes(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "steps", input=said("Hello"), interrupt_before=["second"])
    await talk.client.threads.get(thread)
    await talk.client.threads.get_state(thread)
    await talk.client.runs.wait(thread, "steps", input=None)
    await talk.client.runs.wait(thread, "steps", input=said("Again"), interrupt_after=["first"])
    await talk.client.threads.get_state(thread)
    await read(talk.client.runs.stream(thread, "steps", input=None, stream_mode=["updates", "values"]))
    await read(
        talk.client.runs.stream(
            thread, "steps", input=said("More"), interrupt_before="*", stream_mode=["updates", "values"]
        )
    )


async def commands_need_a_state(talk: Talk) -> None:
    await refused(talk.client.runs.wait(await talk.thread(), "steps", command={"goto": "second"}))


async def commands_change_states(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "steps", input=said("Hello"))
    update: Any = {"messages": [{"role": "user", "content": "Changed", "id": "changed"}]}
    await talk.client.runs.wait(thread, "steps", command={"update": update, "goto": "second"})
    await talk.client.runs.wait(thread, "steps", command={"goto": {"node": "second", "input": said("Sent")}})
    await talk.client.runs.wait(thread, "steps", command={"update": update})
    await refused(talk.client.runs.wait(thread, "steps", command={"goto": "none"}))
    await talk.client.threads.get_state(thread)
    await talk.client.threads.get_history(thread, limit=100)


async def runs_fork(talk: Talk) -> None:
    thread = await talk.thread()
    await talk.client.runs.wait(thread, "steps", input=said("Hello"))
    history = await talk.client.threads.get_history(thread)
    place: Any = next(state for state in history if state["next"] == ["second"])["checkpoint"]
    await talk.client.runs.wait(thread, "steps", input=None, checkpoint=place)
    await talk.client.runs.wait(thread, "steps", input=said("Other"), checkpoint_id=place["checkpoint_id"])
    await talk.client.threads.get_history(thread)


SCENARIOS = (
    a_question_is_answered,
    a_question_in_streams,
    a_question_in_tasks,
    two_questions_are_answered,
    one_answer_for_two_questions,
    a_question_inside_a_subgraph,
    new_input_beside_a_question,
    a_run_behind_a_question,
    a_question_is_joined,
    an_answer_with_fields,
    runs_stop_at_nodes,
    commands_need_a_state,
    commands_change_states,
    runs_fork,
)
