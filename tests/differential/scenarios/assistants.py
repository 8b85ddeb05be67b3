"""Scenarios of assistants and of the server itself."""

from typing import Any

from tests.differential.scenarios.talk import Talk, refused, until

UNKNOWN = "7f3e4b1c-0000-4000-8000-000000000000"


async def assistants_are_found(talk: Talk) -> None:
    assistants = talk.client.assistants
    (found,) = await assistants.search(graph_id="chat")
    await assistants.get(found["assistant_id"])
    await assistants.count(graph_id="chat")
    await assistants.count()
    await refused(assistants.search(graph_id="none"))
    await assistants.search(metadata={"created_by": "system"}, limit=2, sort_by="name", sort_order="asc")
    await assistants.search(name="chat", select=["assistant_id", "name"])
    await assistants.get_versions(found["assistant_id"])


async def assistants_are_described(talk: Talk) -> None:
    assistants = talk.client.assistants
    (found,) = await assistants.search(graph_id="notes")

    async def loaded() -> Any:
        return (await talk.unrecorded.assistants.get_schemas(found["assistant_id"]))["input_schema"]

    await until(loaded, "the graph is loaded")
    await assistants.get_schemas(found["assistant_id"])
    await assistants.get_graph(found["assistant_id"])


async def assistants_by_name(talk: Talk) -> None:
    await refused(talk.client.assistants.get("chat"))
    await refused(talk.client.assistants.get_graph("chat"))


async def assistants_of_wrong_ids(talk: Talk) -> None:
    await refused(talk.client.assistants.get(UNKNOWN))
    await refused(talk.client.assistants.get("none"))
    await refused(talk.client.assistants.get_schemas(UNKNOWN))
    await refused(talk.http.post("/assistants/search", json={"limit": 0}))
    await refused(talk.http.post("/assistants/search", json={"limit": "many"}))
    await refused(talk.http.post("/assistants/search", content=b"{"))


async def the_server_tells_of_itself(talk: Talk) -> None:
    await talk.http.get("/ok")
    await talk.http.get("/info")
    await talk.http.get("/nothing")


SCENARIOS = (
    assistants_are_found,
    assistants_are_described,
    assistants_by_name,
    assistants_of_wrong_ids,
    the_server_tells_of_itself,
)
