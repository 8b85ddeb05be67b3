"""Tickets for streams of the Durable Streams protocol."""

from pathlib import Path

import pytest

from app.clock import SteadyClock
from app.store.ports import Store
from tests.contract.backends import StoreFactory
from tests.durable_streams_readers import live_of
from tests.integration.conftest import Serve
from tests.integration.test_durable_streams import ran
from tests.integration.test_keys import bearer, issue


@pytest.fixture
def store(make_store: StoreFactory, tmp_path: Path) -> Store:
    """An empty store of each kind, which the server opens."""
    return make_store(tmp_path, SteadyClock())


async def test_a_ticket_opens_a_stream_once(serve: Serve, store: Store) -> None:
    """A reader comes back with another ticket, behind the last offset that a control event told."""
    server = await serve(store=store, worker_concurrency=0)
    headers = bearer(await issue(server))
    message_id = await ran(store, thread="t")

    async def ticket(fields: dict[str, str]) -> str:
        return str((await server.client.post("/tickets", json=fields, headers=headers)).json()["ticket"])

    once = {"offset": "-1", "live": "sse", "ticket": await ticket({"message_id": message_id}), "colour": "blue"}
    whole = live_of((await server.client.get(f"/streams/messages/{message_id}", params=once)).text)
    assert whole.events[-1]["type"] == "done"
    again = await server.client.get(f"/streams/messages/{message_id}", params=once)
    assert (again.status_code, again.json()["code"]) == (401, "used_ticket")
    for fields, status in (({}, 200), ({"message_id": message_id}, 401)):
        query = {"offset": "-1", "ticket": await ticket(fields)}
        read = await server.client.get("/streams/threads/t", params=query)
        assert (read.status_code, message_id in read.text) == (status, status == 200)
