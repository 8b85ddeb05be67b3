"""`GET /agents`: what each agent takes and shows, and who runs it; also where no worker is."""

from typing import Any

from app.models.inputs import ShownEvent
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until

AGENTS = "asking=tests.graphs:asking,state=tests.graphs:any_state,missing=tests.graphs:nothing_here"


async def agents_of(server: LiveServer) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (await server.client.get("/agents")).json()["agents"]}


async def test_agents_are_listed_with_schemas_events_and_workers(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)

    async def is_reported() -> bool:
        return bool((await agents_of(server))["missing"]["workers"]["failed"] == 1)

    await until(is_reported, "the heartbeat tells of the agents")
    agents = await agents_of(server)
    assert list(agents) == ["asking", "state", "missing"]
    assert [each["is_default"] for each in agents.values()] == [True, False, False]

    state = agents["state"]
    assert state["workers"] == {"loading": 0, "available": 1, "failed": 0, "stuck": 0}
    assert (state["takes_text"], state["error"]) == (False, None)
    assert "question" in state["input_schema"]["properties"]
    assert "answer" in state["output_schema"]["properties"]
    assert set(state["state_schema"]["properties"]) == {"question", "steps", "answer"}
    assert [node["id"] for node in state["graph"]["nodes"]] == ["__start__", "begins", "ends", "__end__"]
    assert {"source": "begins", "target": "ends"} in state["graph"]["edges"]
    assert state["events"] == list(ShownEvent)
    assert (agents["asking"]["takes_text"], agents["asking"]["context_schema"]) == (True, None)

    missing = agents["missing"]
    assert (missing["input_schema"], missing["takes_text"], missing["events"]) == (None, None, [])
    assert "nothing_here" in missing["error"]
    assert (await server.client.get("/agents/state")).json() == state
    unknown = await server.client.get("/agents/nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "agent_not_found")


async def test_an_odd_agent_hides_no_other_and_takes_messages(serve: Serve, control: GraphControl) -> None:
    agents = "odd=tests.graphs:badly_described,state=tests.graphs:any_state"
    worker = await serve(agents=agents)
    api = await serve(agents=agents, worker_concurrency=0)

    async def is_described() -> bool:
        return {each.name for each in await worker.runtime.services.store.list_agents()} == {"odd", "state"}

    await until(is_described, "the descriptions are stored")
    for server in (worker, api):
        assert (await agents_of(server))["odd"]["description"] == "Lone ? and \ufffd."
        answer = await server.client.post("/messages", json={"agent": "odd", "input": {"text": "aa"}})
        assert answer.status_code == 202, answer.text
        assert (await worker.ended(answer.json()["message_id"]))["result"] == "aa"


async def test_a_process_without_agents_knows_what_workers_have_stored(serve: Serve, control: GraphControl) -> None:
    worker = await serve(agents=AGENTS)
    api = await serve(agents=AGENTS, worker_concurrency=0)
    await worker.runtime.services.registry.loaded.wait()

    async def is_described() -> bool:
        return {each.name for each in await worker.runtime.services.store.list_agents()} == {"asking", "state"}

    await until(is_described, "the descriptions are stored")
    agents = await agents_of(api)
    assert "question" in agents["state"]["input_schema"]["properties"]
    refused = await api.client.post("/messages", json={"agent": "state", "input": {"question": 3}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "input.question")
