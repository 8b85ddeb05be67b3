"""Limits and quotas at a running server: who is refused, with what, and what replies tell of them."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.access.limits import LimitRules, SubmitLimits
from app.access.principals import ANONYMOUS, Principal
from app.access.request_limits import ReadLimits
from app.access.scopes import AccessScope
from app.config import Settings
from app.errors.limits import RateLimitExceeded
from app.models.keys import KeyCounts, KeyLimits
from app.models.limits import Limited
from app.models.tenants import Quotas
from tests.contract.builders import FAILED, claim_one, new
from tests.integration.conftest import Serve
from tests.integration.limited_callers import HELLO, limit_tenant, limits_in, submit
from tests.integration.test_key_api import ask
from tests.integration.test_keys import issue
from tests.servers import until


async def test_a_key_submits_as_many_messages_as_its_limit_says(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, counts=KeyCounts(KeyLimits(3), Quotas()))
    replies = [await submit(server, key) for _ in range(4)]
    assert [each.status for each in replies] == [202, 202, 202, 429]
    assert [limits_in(each.headers) for each in replies[:3]] == [
        ('"key";q=3;w=60', f'"key";r={left}') for left in (2, 1, 0)
    ]
    refused = replies[3]
    assert refused.json()["code"] == "rate_limit_exceeded"
    assert 18 <= int(refused.headers["retry-after"]) <= 20
    assert limits_in(refused.headers) == ('"key";q=3;w=60', '"key";r=0')
    other = await issue(server)
    reply = await submit(server, other)
    assert (reply.status, reply.headers.get("ratelimit")) == (202, None)
    assert (await ask(server, "GET", "/queue", other)).json()["total_queued"] == 4


async def test_a_changed_limit_counts_for_the_next_message(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_key=1)
    admin = await issue(server)
    assert [(await submit(server, admin)).status for _ in range(2)] == [202, 429]
    changed = await ask(server, "PATCH", f"/keys/{admin.key.id}", admin, {"limits": {"submits_per_minute": 0}})
    assert changed.json()["limits"] == {"submits_per_minute": 0}
    assert (await submit(server, admin)).status == 202
    await limit_tenant(server, admin, limits={"submits_per_minute": 1})
    assert [(await submit(server, admin)).status for _ in range(2)] == [202, 429]
    refused = await ask(server, "PATCH", f"/keys/{admin.key.id}", admin, {"limits": {"submits_per_minute": 2}})
    assert (refused.status, refused.json()["errors"][0]["field"]) == (422, "limits.submits_per_minute")


async def test_a_batch_counts_each_message_and_a_replay_none(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_key=3)
    key = await issue(server)
    first = await submit(server, key, idempotency_key="a")
    batch = {"messages": [HELLO] * 2}
    assert (await ask(server, "POST", "/messages/batch", key, batch)).headers["ratelimit"].startswith('"key";r=0')
    again = await submit(server, key, idempotency_key="a")
    assert (again.status, again.json(), again.headers.get("ratelimit")) == (202, first.json(), None)
    assert (await submit(server, key, idempotency_key="b")).status == 429
    never = await ask(server, "POST", "/messages/batch", key, {"messages": [HELLO] * 4})
    assert (never.status, never.json()["errors"][0]["field"]) == (422, "messages")


async def test_each_end_user_has_a_limit_of_their_own(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_subject=1)
    key = await issue(server)
    statuses = [
        (await ask(server, "POST", "/messages", key, {**HELLO, "subject": name})).status
        for name in ("ann", "ann", "bob", "bob")
    ]
    assert statuses == [202, 429, 202, 429]
    assert (await submit(server, key)).status == 202


async def test_messages_in_the_thread_of_an_end_user_count_for_the_user(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_subject=3)
    key = await issue(server)
    in_thread = {**HELLO, "thread_id": "of-ann"}
    assert (await ask(server, "POST", "/messages", key, {**in_thread, "subject": "ann"})).status == 202
    batch = {"messages": [in_thread, {**HELLO, "thread_id": "of-nobody"}]}
    assert (await ask(server, "POST", "/messages/batch", key, batch)).status == 202
    statuses = [(await ask(server, "POST", "/messages", key, in_thread)).status for _ in range(2)]
    assert statuses == [202, 429]
    assert (await ask(server, "POST", "/messages", key, {**HELLO, "subject": "ann"})).status == 429
    assert (await ask(server, "POST", "/messages", key, {**HELLO, "thread_id": "of-nobody"})).status == 202


async def test_messages_in_the_thread_of_an_end_user_count_against_quotas(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_subject=0)
    key = await issue(server)
    await limit_tenant(server, key, subject_quotas={"messages_per_day": 2})
    assert (await ask(server, "POST", "/messages", key, {**HELLO, "thread_id": "t", "subject": "ann"})).status == 202
    statuses = [
        (await ask(server, "POST", "/messages", key, {**HELLO, "thread_id": thread})).status
        for thread in ("t", "t", "other")
    ]
    assert statuses == [202, 429, 202]


@pytest.mark.parametrize("most", [2, 3])
async def test_a_thread_that_a_batch_begins_has_the_end_user_of_its_first_message(serve: Serve, most: int) -> None:
    """The other messages of the thread count for this user too."""
    server = await serve(worker_concurrency=0, submits_per_minute_per_subject=0)
    key = await issue(server)
    await limit_tenant(server, key, subject_quotas={"messages_per_day": most})
    in_thread = {**HELLO, "thread_id": "t"}
    batch = {"messages": [{**in_thread, "subject": "ann"}, in_thread, in_thread, {**HELLO, "thread_id": "other"}]}
    reply = await ask(server, "POST", "/messages/batch", key, batch)
    if most < 3:
        assert (reply.status, reply.json()["errors"][0]["field"]) == (422, "messages")
        return
    assert reply.status == 202, reply.body
    (told,) = (await ask(server, "GET", "/usage?subject=ann", key)).json()["quotas"]
    assert (told["of"], told["used"], told["left"]) == ("subject", 3, 0)
    assert (await ask(server, "POST", "/messages", key, {**HELLO, "subject": "ann"})).status == 429


async def test_a_changed_limit_begins_anew(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    left = []
    for most in (2, 10, 2000, 3):
        await limit_tenant(server, key, limits={"submits_per_minute": most})
        left.append(limits_in((await submit(server, key)).headers))
    assert left == [(f'"tenant";q={most};w=60', f'"tenant";r={most - 1}') for most in (2, 10, 2000, 3)]
    assert [(await submit(server, key)).status for _ in range(3)] == [202, 202, 429]
    for rate in (1, 2):  # tokens of one end user
        made = await ask(server, "POST", "/tokens", key, {"subject": "ann", "rate_per_minute": rate})
        await limit_tenant(server, key, limits={"submits_per_minute": None})
        statuses = [(await submit(server, made.json()["token"])).status for _ in range(rate + 1)]
        assert statuses == [202] * rate + [429]


async def test_a_token_has_the_rate_that_it_was_made_with(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    made = await ask(server, "POST", "/tokens", key, {"subject": "ann", "rate_per_minute": 2})
    token = made.json()["token"]
    assert [(await submit(server, token)).status for _ in range(3)] == [202, 202, 429]
    assert (await submit(server, key)).status == 202


async def test_the_limit_of_an_address_is_for_others_without_a_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    limits = SubmitLimits(server.runtime.services.store, LimitRules(per_address=5, per_key=7))

    async def of(caller: Principal, address: str | None) -> list[tuple[Limited, int]]:
        return [(each.limited, each.most) for each in (await limits.of(caller, [new()], address)).limits]

    assert await of(ANONYMOUS, "192.0.2.1") == [(Limited.ADDRESS, 5)]
    for address in ("127.0.0.1", "::1", None):
        assert await of(ANONYMOUS, address) == []
    assert await of(ANONYMOUS._replace(key_id="k"), "192.0.2.1") == [(Limited.KEY, 7)]
    (one,), (other,), (third,) = [
        (await limits.of(ANONYMOUS, [new()], address)).limits
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    ]
    assert one.name == other.name != third.name
    assert "2001" not in one.name


async def test_the_queue_of_a_tenant_has_its_own_length(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size_per_tenant=5)
    admin = await issue(server)
    await limit_tenant(server, admin, limits={"queued": 1})
    assert (await submit(server, admin)).status == 202
    refused = await submit(server, admin)
    assert (refused.status, refused.json()["code"], refused.headers["retry-after"]) == (429, "tenant_queue_full", "1")


async def test_a_batch_that_no_queue_holds_is_refused_for_good(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=3)
    admin = await issue(server)
    batch = {"messages": [HELLO] * 3}
    kept = await ask(server, "POST", "/messages/batch", admin, batch, idempotency_key="a")
    assert kept.status == 202
    too_long = await ask(server, "POST", "/messages/batch", admin, {"messages": [HELLO] * 4})
    assert (too_long.status, too_long.json()["code"]) == (422, "invalid_request")
    assert "at most 3 messages" in too_long.json()["detail"]
    assert "this server" in too_long.json()["detail"]
    later = await ask(server, "POST", "/messages/batch", admin, {"messages": [HELLO] * 2})
    assert (later.status, later.json()["code"]) == (503, "queue_full")
    await limit_tenant(server, admin, limits={"queued": 1})
    of_tenant = await ask(server, "POST", "/messages/batch", admin, {"messages": [HELLO] * 2})
    assert (of_tenant.status, of_tenant.json()["errors"][0]["field"]) == (422, "messages")
    assert "at most 1 message, the maximum of queued messages of this tenant" in of_tenant.json()["detail"]
    again = await ask(server, "POST", "/messages/batch", admin, batch, idempotency_key="a")
    assert (again.status, again.json()["messages"]) == (202, kept.json()["messages"])


async def test_openai_clients_are_refused_in_their_form(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    await limit_tenant(server, admin, limits={"submits_per_minute": 1})
    assert (await submit(server, admin)).status == 202
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
    refused = await ask(server, "POST", "/v1/chat/completions", admin, body)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) > 50
    await limit_tenant(server, admin, limits=None, quotas={"messages_per_day": 1})
    assert (await submit(server, admin)).status == 202
    refused = await ask(server, "POST", "/v1/chat/completions", admin, body)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"


async def test_openai_clients_read_what_is_left_by_their_names(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, submits_per_minute_per_tenant=4)
    admin = await issue(server)
    await limit_tenant(server, admin, quotas={"messages_per_day": 2})
    body = {"model": "chat", "input": "Hello", "background": True}
    reply = await ask(server, "POST", "/v1/responses", admin, body)
    shown = {name: value for name, value in reply.headers.items() if name.startswith("x-ratelimit")}
    assert set(shown) == {f"x-ratelimit-{each}-requests" for each in ("limit", "remaining", "reset")}
    assert (shown["x-ratelimit-limit-requests"], shown["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", shown["x-ratelimit-reset-requests"])
    assert limits_in(reply.headers)[1].startswith('"tenant";r=3')
    assert (await ask(server, "POST", "/v1/responses", admin, body)).headers["x-ratelimit-remaining-requests"] == "0"
    refused = await ask(server, "POST", "/v1/responses", admin, body)
    assert (refused.status, refused.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    assert (await submit(server, await issue(server))).headers.get("x-ratelimit-limit-requests") is None


async def test_streams_that_surfaces_open_count(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    accepted = (await server.client.post("/messages", json={**HELLO, "thread_id": "t"})).json()
    page = {"id": "chat", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}
    run = {"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": "Hello"}]}
    told = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Hello"}]}}

    def called(method: str, params: Any) -> tuple[str, str, Any]:
        return "POST", "/a2a/chat", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    streams: list[tuple[str, str, Any]] = [
        called("SendMessage", told),
        called("SendStreamingMessage", told),
        called("SubscribeToTask", {"id": accepted["message_id"]}),
        ("POST", "/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}),
        ("POST", "/v1/responses", {"model": "chat", "input": "Hello"}),
        ("GET", f"/v1/responses/resp_{accepted['message_id']}?stream=true", None),
        ("POST", "/api/chat", page),
        ("GET", "/api/chat/t/stream", None),
        ("POST", "/agui/chat", run),
        ("POST", "/agui/chat", {**run, "messages": []}),
        ("POST", "/langgraph/runs/stream", {"assistant_id": "chat", "input": {"messages": []}}),
        ("POST", "/langgraph/threads/t/stream/events", {"channels": ["messages"]}),
        ("GET", f"/langgraph/threads/t/runs/{accepted['message_id']}/stream", None),
    ]
    async with server.client.stream("GET", f"/messages/{accepted['message_id']}/stream"):
        for method, path, body in streams:
            given = {**body, "stream": True} if path.startswith("/v1") and body else body
            async with server.client.stream(method, path, json=given) as refused:
                assert refused.status_code == 429, path
    assert (await server.client.get("/queue")).json()["total_queued"] == 1


async def test_streams_and_sockets_of_a_tenant_are_limited(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    accepted = (await server.client.post("/messages", json=HELLO)).json()
    path = f"/messages/{accepted['message_id']}/stream"
    async with server.client.stream("GET", path) as stream:
        assert stream.status_code == 200
        refused = await server.client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        refused = await server.client.post("/messages", json=HELLO, headers={"Accept": "text/event-stream"})
        assert refused.status_code == 429
        with pytest.raises(InvalidStatus) as status:
            await connect(server.url.replace("http", "ws") + "/ws")
        assert status.value.response.status_code == 429
    assert (await server.client.get("/queue")).json()["total_queued"] == 1

    async def opened() -> bool:
        async with server.client.stream("GET", path) as stream:
            return stream.status_code == 200

    await until(opened, "the place is free again")


async def test_reads_of_a_key_are_limited_in_a_process(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, reads_per_minute=2)
    key = await issue(server)
    replies = [await ask(server, "GET", "/queue", key) for _ in range(3)]
    assert [each.status for each in replies] == [200, 200, 429]
    assert limits_in(replies[0].headers) == ('"key-reads";q=2;w=60', '"key-reads";r=1')
    assert "2 requests in a minute for this API key" in replies[2].json()["detail"]
    assert (await submit(server, key)).status == 202
    assert (await ask(server, "GET", "/queue", await issue(server))).status == 200


async def test_a_refused_read_leaves_the_limit_reached(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, reads_per_minute=2)
    key = await issue(server)
    statuses = [(await ask(server, "GET", "/queue", key)).status for _ in range(5)]
    assert statuses == [200, 200, 429, 429, 429]


async def test_reads_of_the_servers_own_host_are_not_limited(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, reads_per_minute=1)
    for _ in range(3):
        response = await server.client.get("/queue")
        assert (response.status_code, "ratelimit" in response.headers) == (200, False)
    reads = ReadLimits(server.runtime.services.store, 1)
    assert reads.count(ANONYMOUS, "192.0.2.1") is not None
    with pytest.raises(RateLimitExceeded):
        reads.count(ANONYMOUS, "192.0.2.1")


def test_a_refused_read_is_not_said_to_be_stored() -> None:
    refused = RateLimitExceeded(
        "API key", what="requests", policy="key-reads", most=1, window_seconds=60, left=0, reset_seconds=12, wait=1
    )
    assert str(refused) == (
        "The limit of 1 request in a minute for this API key is reached. Send the request again in 1 second."
    )


async def test_a_refusal_says_how_much_is_left(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, counts=KeyCounts(KeyLimits(), Quotas(messages_per_day=2)))
    assert (await submit(server, key)).status == 202
    more = await ask(server, "POST", "/messages/batch", key, {"messages": [HELLO] * 2})
    told = more.json()["detail"]
    assert told.startswith(
        "The quota of 2 messages in a day for this API key has 1 message left, and the request has 2."
    )
    assert (await submit(server, key)).status == 202
    used_up = (await submit(server, key)).json()["detail"]
    assert used_up.startswith("The quota of 2 messages in a day for this API key is used up. Nothing was stored.")
    await limit_tenant(server, key, limits={"submits_per_minute": 1})
    one = await issue(server)
    replies = [(await submit(server, one)) for _ in range(2)]
    assert (
        replies[1].json()["detail"].startswith("The limit of 1 message in a minute for this tenant is reached. Nothing")
    )


async def test_a_retry_counts_against_no_limit_of_messages(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    scopes = (AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
    key = await issue(server, *scopes, counts=KeyCounts(KeyLimits(1), Quotas(messages_per_day=1, tokens_per_day=10)))
    message_id = (await submit(server, key)).json()["message_id"]
    for _ in range(2):
        await server.runtime.services.store.finish(await claim_one(server.runtime.services.store), FAILED)
        assert (await ask(server, "POST", f"/messages/{message_id}/retry", key)).status == 202
    assert (await submit(server, key)).status == 429


def test_limits_that_contradict_each_other_are_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="SUBMITS_PER_MINUTE_PER_KEY: expected at most SUBMITS_PER_MINUTE_PER_T"):
        Settings(submits_per_minute_per_key=7, submits_per_minute_per_tenant=6, _env_file=None)
    Settings(submits_per_minute_per_key=0, submits_per_minute_per_tenant=6, _env_file=None)
    Settings(submits_per_minute_per_tenant=6, _env_file=None)  # below the default for an end user


async def test_scopes_of_limits(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    reader = await issue(server, AccessScope.READ)
    response = await ask(server, "PATCH", f"/keys/{reader.key.id}", reader, {"limits": {"submits_per_minute": 0}})
    assert response.status == 403, json.loads(response.body)
