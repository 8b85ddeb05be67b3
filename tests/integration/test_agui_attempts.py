"""Pages of AG-UI show what the thread's state has: texts that do not count are marked, and gone in a restored page."""

from typing import Any

from tests.agui_events import ReadRun
from tests.agui_requests import answer, back, question_of, run, sent
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer

AGENTS = "breaking=tests.unsure_agents:breaking,asking=tests.unsure_agents:asking"


async def remembered(server: LiveServer) -> list[tuple[str, str]]:
    """The messages that the agent remembers, by id and text."""
    values = (await server.client.get("/threads/t/state")).json()["values"]
    return [(each["id"], each["content"]) for each in values["messages"]]


def has(read: ReadRun) -> list[tuple[str, Any]]:
    """The messages of a page, by id and text."""
    return [(each["id"], each.get("content")) for each in read.messages]


async def test_the_finished_text_of_a_failed_attempt_is_marked_and_gone_when_the_page_comes_back(
    serve: Serve, control: GraphControl
) -> None:
    control.crash("breaks")
    server = await serve(agents=AGENTS, max_attempts=2, retry_base_seconds=0.01)
    read = await sent(server, run(), "breaking")
    assert read.shown() == [("user", "Hi"), "A plan.", "~It is done.~", "It is done."]
    for body in (back(), run(*read.messages)):
        whole = await sent(server, body, "breaking")
        assert has(whole) == await remembered(server)
        assert whole.shown() == [("user", "Hi"), "A plan.", "It is done."]


async def test_a_text_before_a_question_is_marked_and_gone_after_the_answer(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=AGENTS)
    asked = await sent(server, run(), "asking")
    assert asked.shown() == [("user", "Hi"), "A plan.", "Shall I?"]
    assert (await sent(server, back(), "asking")).shown() == asked.shown(), "nobody has answered yet"
    body = run(*asked.messages, run_id="r2", resume=answer(question_of(asked)))
    answered = await sent(server, body, "asking")
    assert answered.shown() == [("user", "Hi"), "A plan.", "~Shall I?~", "~Shall I?~", "Answered: yes"]
    for again in (back(), body, run(*asked.messages)):
        whole = await sent(server, again, "asking")
        assert has(whole) == await remembered(server)
        assert whole.shown() == [("user", "Hi"), "A plan.", "Answered: yes"]
