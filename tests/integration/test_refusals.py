"""A refusal says why, and what to do instead."""

from typing import Any

import pytest

from app.errors import NotCancellable
from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.servers import LiveServer

TEXTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "an unknown field": (
        "/messages",
        {"message": "Hi", "foo": 1},
        "foo",
        "unknown field. Known here: input, command, continue, message, context,",
    ),
    "an unknown field of a batch": (
        "/messages/batch",
        {"messages": [{"message": "Hi"}, {"message": "Hi", "foo": 1}]},
        "messages.1.foo",
        "unknown field. Known here: input, command, continue, message, context,",
    ),
    "an unknown field around a batch": ("/messages/batch", {"foo": []}, "foo", "unknown field. Known here: messages."),
    "an unknown field of a filter": (
        "/messages/cancel",
        {"filter": {"foo": 1}},
        "filter.foo",
        "unknown field. Known here: thread_id, agent, priority, error_code, fingerprint, state.",
    ),
    "an empty message": ("/messages", {"message": ""}, "message", "expected at least 1 character, got 0"),
    "a long thread id": (
        "/messages",
        {"message": "Hi", "thread_id": "x" * 256},
        "thread_id",
        "expected at most 255 characters, got 256",
    ),
    "an empty list": (
        "/messages/batch",
        {"messages": []},
        "messages",
        "expected at least 1 entry, got 0",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
async def test_what_is_wrong_with_a_body_is_told_in_its_own_words(quiet: LiveServer, case: str) -> None:
    path, body, field, detail = TEXTS[case]
    problem = check_problem(await quiet.client.post(path, json=body), 422, "validation_error", field)
    (told,) = [error["detail"] for error in problem["errors"] if error["field"] == field]
    assert told.startswith(detail)
    assert f"{field}: {detail}" in problem["detail"]


async def test_the_entries_of_errors_do_not_repeat_the_field(quiet: LiveServer) -> None:
    response = await quiet.client.get("/messages", params={"cursor": "x"})
    problem = check_problem(response, 422, "invalid_request", "cursor")
    assert problem["errors"] == [{"field": "cursor", "detail": "expected a cursor from a Link header of this list"}]
    assert problem["detail"] == "cursor: expected a cursor from a Link header of this list"


async def test_a_query_parameter_is_named_as_it_was_sent(quiet: LiveServer) -> None:
    check_problem(await quiet.client.get("/messages?state=bogus"), 422, "validation_error", "state")
    check_problem(await quiet.client.get("/messages?state=queued&state=bogus"), 422, "validation_error", "state")


async def test_one_state_may_be_given_without_a_list(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    response = await quiet.client.post("/messages/cancel", json={"filter": {"state": "queued"}})
    assert (response.status_code, response.json()["cancelled"]) == (200, [message_id])
    response = await quiet.client.post("/messages/cancel", json={"filter": {"state": "completed"}})
    problem = check_problem(response, 422, "invalid_request", "filter.state")
    assert "messages that are completed cannot be cancelled" in problem["detail"]


async def test_a_filter_that_means_one_message_says_so(quiet: LiveServer) -> None:
    await quiet.submit()
    body = {"filter": {"state": "queued"}, "expected_count": 5}
    problem = check_problem(await quiet.client.post("/messages/cancel", json=body), 409, "selection_moved")
    assert problem["detail"].startswith("The filter selects 1 message, not 5.")


@pytest.mark.parametrize("path", ["/message", "/queue%0A"])
async def test_an_unknown_path_is_told_where_the_known_ones_are(quiet: LiveServer, path: str) -> None:
    problem = check_problem(await wire.request(quiet.url, "GET", path), 404, "not_found")
    assert "/docs" in problem["detail"]


async def test_a_wrong_method_is_told_with_the_right_ones(quiet: LiveServer) -> None:
    problem = check_problem(await quiet.client.put("/queue"), 405, "method_not_allowed")
    assert problem["detail"] == "This path does not support PUT. It supports GET, HEAD, OPTIONS."


def test_deleting_a_message_that_asks_names_what_cancels_it() -> None:
    told = str(NotCancellable("m1", "interrupted"))
    assert told.endswith("message m1 is interrupted. POST /messages/m1/cancel cancels it.")
    assert "POST" not in str(NotCancellable("m1", "completed"))


# Callers that are refused


async def test_a_header_of_a_proxy_is_named(quiet: LiveServer) -> None:
    response = await quiet.client.get("/queue", headers={"X-Forwarded-For": "127.0.0.1"})
    problem = check_problem(response, 401, "authentication_required")
    assert "the header `x-forwarded-for`" in problem["detail"]
    assert "ALLOW_ANONYMOUS=true" in problem["detail"]


async def test_http_1_0_is_named(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(b"GET /queue HTTP/1.0\r\n" + raw.HOST + b"\r\n")
        problem = check_problem(await client.response(), 401, "authentication_required")
    assert "HTTP/1.0" in problem["detail"]
    assert "HTTP/1.1" in problem["detail"]


async def test_a_webhook_of_another_scheme_is_told_which_are_allowed(serve: Serve) -> None:
    for private, told in ((True, "only https:// and http:// are allowed"), (False, "only https:// is allowed")):
        server = await serve(webhook_secret="whsec_" + "A" * 32, webhook_allow_private=private, worker_concurrency=0)
        response = await server.client.post("/messages", json={"message": "Hi", "webhook_url": "ftp://host.example/"})
        assert told in check_problem(response, 422, "invalid_request", "webhook_url")["detail"]
