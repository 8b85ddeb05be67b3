"""Scenarios of items, and of what is not served."""

from tests.differential.scenarios.assistants import UNKNOWN
from tests.differential.scenarios.talk import Talk, refused


async def items_are_kept(talk: Talk) -> None:
    store = talk.client.store
    await store.put_item(["differential", "a"], "one", {"text": "first", "at": 1})
    await store.put_item(["differential", "b"], "two", {"text": "second", "at": 2})
    await store.get_item(["differential", "a"], "one")
    await store.search_items(["differential"])
    await store.search_items(["differential"], filter={"at": 2}, limit=1)
    await store.list_namespaces(prefix=["differential"])
    await store.list_namespaces(prefix=["differential"], max_depth=1)
    await store.list_namespaces(suffix=["b"])
    await store.put_item(["differential", "a"], "one", {"text": "changed"})
    await store.get_item(["differential", "a"], "one")
    await store.delete_item(["differential", "a"], "one")
    await refused(store.get_item(["differential", "a"], "one"))
    await store.delete_item(["differential", "a"], "one")


async def graphs_keep_items(talk: Talk) -> None:
    await talk.client.runs.wait(None, "keeps", input={"topic": "bees"})
    await talk.client.store.get_item(["notes", "kept"], "topic")


async def items_of_wrong_bodies(talk: Talk) -> None:
    for body in (
        {"namespace": "one", "key": "a", "value": {}},
        {"namespace": [], "key": "a", "value": {}},
        {"namespace": ["a.b"], "key": "a", "value": {}},
        {"namespace": ["a"], "key": "", "value": {}},
        {"namespace": ["a"], "key": "a", "value": 1},
        {"namespace": ["a"], "key": "a"},
    ):
        await refused(talk.http.put("/store/items", json=body))
    await refused(talk.http.get("/store/items", params={"namespace": "a"}))
    await refused(talk.http.post("/store/items/search", json={"limit": 0}))


async def crons(talk: Talk) -> None:
    await refused(talk.client.crons.search())
    await refused(talk.client.crons.delete(UNKNOWN))


SCENARIOS = (items_are_kept, graphs_keep_items, items_of_wrong_bodies, crons)
