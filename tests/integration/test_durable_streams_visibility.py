"""Streams of what a caller may not see are like missing ones, and no query breaks a reader."""

import random
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx2

from app.protocols.durable_streams import SURFACE
from tests.contract.builders import ALL, new
from tests.foreign_ids import MISSING, THREAD, Asked, routes_of, walk
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.servers import LiveServer
from tests.strangers import AGENTS, ann_has

QUERIES = ("", "?offset=now", "?offset=-1&live=long-poll", "?offset=-1&live=sse", "?offset=x")


async def test_a_foreign_stream_is_answered_like_a_missing_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    (queued,) = (await store.add([new(thread=THREAD, subject="ann")], max_queued=ALL)).messages
    missing = {"message_id": MISSING.format(1), "thread_id:path": MISSING.format(2)}

    def requests(who: str) -> Iterator[Asked]:
        for method, path in routes_of(SURFACE):
            if who == "other agents" and "thread" in path:
                continue  # threads of other agents are shown, without their messages
            for message_id in (queued.id, *known["message"], *known["alias"]):
                for query in QUERIES:
                    ids = {"message_id": message_id, "thread_id:path": THREAD}
                    yield Asked(method, f"{path}{query}", ids, missing)

    await walk(server, SURFACE, requests, at_least=100)


VALUES = (
    "-1",
    "now",
    "",
    "0" * 19,
    "9" * 19,
    "0" * 20,
    "1_2_3",
    "a\x00",
    "é",
    "%",
    "long-poll",
    "sse",
    "0_0",
    "٣",
    "1e9",
)
NAMES = ("offset", "offset", "offset", "live", "cursor", "ticket", "colour", "Offset")


async def test_no_odd_query_breaks_a_reader(server: LiveServer) -> None:
    message_id = (await server.submit(thread_id="t"))["message_id"]
    await server.ended(message_id)
    odd = random.Random(7)
    statuses = set()
    for number in range(300):
        path = f"/streams/messages/{message_id}" if number % 3 else "/streams/threads/t"
        query = [(odd.choice(NAMES), odd.choice(VALUES)) for _ in range(odd.randint(0, 3))]
        if path.endswith("t") and ("live", "sse") in query:
            continue  # has no end
        if path.endswith("t") and ("live", "long-poll") in query and ("offset", "now") in query:
            continue  # waits
        response = await server.client.get(
            path, params=httpx2.QueryParams(urlencode(query)), headers={"Accept": odd.choice(("*/*", "text/plain"))}
        )
        statuses.add(response.status_code)
        assert response.status_code in (200, 204, 400, 401), (query, response.text)
        if response.status_code >= 400:
            assert response.json()["status"] == response.status_code
    assert statuses >= {200, 400}
