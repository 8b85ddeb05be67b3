"""Equal ids of two tenants never meet, wherever they are used."""

import json
from typing import Any

import pytest

from app.models.deliveries import DeliveryFilter
from app.models.messages import MessageFilter, Page
from tests import wire
from tests.contract.builders import ALL
from tests.integration.conftest import Serve
from tests.integration.test_keys import JSON, bearer, database, issue
from tests.servers import LiveServer, until

__all__ = ["database"]

AGENTS = "steps=tests.graph_kinds:pair_messages"
TENANTS = ("one", "two")


async def ask(server: LiveServer, key: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
    given = {**bearer(key), **(JSON if body is not None else {}), **headers}
    text = b"" if body is None else json.dumps(body).encode()
    response = await wire.request(server.url, method, path, headers=given, body=text)
    assert response.status < 300, response.body
    return response.json() if response.body else None


async def test_equal_ids_of_two_tenants_never_meet(serve: Serve, database: str, tmp_path: Any) -> None:
    """Threads, keys of requests, aliases, end users, items, memories and totals, on every engine."""
    memory = f"sqlite:///{tmp_path}/memory.db"
    server = await serve(database_url=database, checkpoint_url=memory, allow_volatile=True, agents=AGENTS)
    keys = {tenant: (await issue(server, tenant=tenant)).text for tenant in TENANTS}
    ids: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
    for turn in range(2):
        for tenant, key in keys.items():
            body = {"message": f"{tenant} {turn}", "thread_id": "t", "aliases": [f"a{turn}"], "subject": "ann"}
            accepted = await ask(server, key, "POST", "/messages", body, **{"Idempotency-Key": f"k{turn}"})
            ids[tenant].append(accepted["message_id"])
            item = {"namespace": ["n"], "key": "k", "value": {"of": tenant}}
            await ask(server, key, "PUT", "/store/items", item)

    async def ended() -> bool:
        shown = [await ask(server, key, "GET", "/threads/t") for key in keys.values()]
        return all(each["states"]["completed"] == 2 for each in shown)

    await until(ended, "both turns of both have ended", 30)
    for tenant, key in keys.items():
        other = TENANTS[tenant == "one"]
        messages = (await ask(server, key, "GET", "/threads/t/messages"))["messages"]
        assert [each["message_id"] for each in messages] == ids[tenant]
        assert (await ask(server, key, "GET", "/messages/a1"))["message_id"] == ids[tenant][1]
        state = json.dumps(await ask(server, key, "GET", "/threads/t/state"))
        assert f"{tenant} 1" in state
        assert f"{other} " not in state
        assert (await ask(server, key, "GET", "/store/items?namespace=n&key=k"))["value"] == {"of": tenant}
        assert (await ask(server, key, "GET", "/queue"))["total_completed"] == 2
        token = (await ask(server, key, "POST", "/tokens", {"subject": "ann"}))["token"]
        assert len((await ask(server, token, "GET", "/messages"))["messages"]) == 2
        await ask(server, key, "POST", "/tokens/revoke", {"subject": "ann"})
    await ask(server, keys["one"], "DELETE", "/threads/t")
    shown = json.dumps(await ask(server, keys["two"], "GET", "/threads/t/state"))
    assert "two 1" in shown
    store = server.runtime.services.store
    assert await store.list_messages("one", MessageFilter(), Page(ALL)) == []
    assert len(await store.list_messages("two", MessageFilter(), Page(ALL))) == 2
    assert await store.find_deliveries("one", DeliveryFilter(), Page(ALL)) == []


@pytest.mark.parametrize("ended_first", TENANTS)
async def test_ending_the_tokens_of_a_tenant_ends_no_other(serve: Serve, ended_first: str) -> None:
    server = await serve(worker_concurrency=0)
    keys = {tenant: (await issue(server, tenant=tenant)).text for tenant in TENANTS}
    tokens = {
        tenant: (await ask(server, key, "POST", "/tokens", {"subject": "ann"}))["token"] for tenant, key in keys.items()
    }
    await ask(server, keys[ended_first], "POST", "/tokens/revoke", {"all": True})
    cached = server.runtime.services.access._keys
    await until(lambda: cached.find(tokens[ended_first]) is None, "the end is known")
    for tenant, token in tokens.items():
        response = await wire.request(server.url, "GET", "/messages", headers=bearer(token))
        assert response.status == (401 if tenant == ended_first else 200)
