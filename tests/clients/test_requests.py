"""Requests of the client: sent once in effect, tried again where that is safe, and refused with one typed error."""

import inspect
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from agentq_client import AgentQ, AgentQError, AsyncAgentQ, errors
from agentq_client.core import requests
from agentq_client.core.requests import Call, Failure, Tries, config_of

ACCEPTED = {"message_id": "m1", "state": "queued", "created_at": "2026-11-29T10:00:00.000Z", "agent": "chat"}

Answer = httpx.Response | Exception


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST_PAUSE_SECONDS", 0.0)


class Server:
    """Gives answers in their order and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options: Any) -> AgentQ:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return AgentQ("http://queue.test", "aq_key", http_client=http, **options)


def problem(status: int, code: str, **fields: Any) -> httpx.Response:
    body = {"status": status, "code": code, "title": "No", "detail": "It cannot be.", **fields}
    return httpx.Response(status, json=body, headers={"X-Request-Id": "r1"})


def test_a_submit_is_tried_again_with_the_same_key() -> None:
    server = Server(httpx.ReadError("cut"), problem(503, "store_unavailable"), httpx.Response(202, json=ACCEPTED))
    assert server.client().submit("Hello", priority="high").message_id == "m1"
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert [json.loads(request.content) for request in server.requests] == 3 * [
        {"message": "Hello", "priority": "high"}
    ]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer aq_key"}


def test_two_submits_have_different_keys_unless_the_caller_names_one() -> None:
    server = Server(*(httpx.Response(202, json=ACCEPTED) for _ in range(3)))
    client = server.client()
    client.submit("Hello")
    client.submit("Hello")
    client.submit("Hello", idempotency_key="order-7")
    first, second, third = (request.headers["idempotency-key"] for request in server.requests)
    assert first != second
    assert third == "order-7"


def test_a_secret_that_is_shown_once_has_no_key_to_be_shown_again() -> None:
    server = Server(problem(403, "rights_exceeded"), problem(403, "rights_exceeded"))
    with pytest.raises(errors.PermissionDenied):
        server.client().keys.create("shop")
    with pytest.raises(errors.PermissionDenied):
        server.client().keys.rotate("k1")
    assert [request.headers.get("idempotency-key") for request in server.requests] == [None, None]


NOT_REPEATABLE: list[Callable[[AgentQ], Any]] = [
    lambda client: client.threads.update_state("t", {"n": 1}),
    lambda client: client.retry("m1"),
    lambda client: client.dead_letters.requeue(["m1"]),
    lambda client: client.dead_letters.purge(["m1"]),
    lambda client: client.threads.fork("t"),
    lambda client: client.cancel_all({}, expected_count=1),
    lambda client: client.change_all("high", message_ids=["m1"]),
    lambda client: client.cancel_queued("m1"),
    lambda client: client.keys.create("shop"),
    lambda client: client.keys.rotate("k1"),
    lambda client: client.deliveries.replay("d1"),
    lambda client: client.request("POST", "/new"),
]


@pytest.mark.parametrize("call", NOT_REPEATABLE)
@pytest.mark.parametrize("answer", [httpx.ReadError("cut"), problem(504, "commit_unknown")], ids=["cut", "unknown"])
def test_what_may_have_been_done_is_not_done_again(call: Callable[[AgentQ], Any], answer: Answer) -> None:
    server = Server(answer)
    with pytest.raises((errors.ServerUnreachable, errors.CommitUnknown)) as raised:
        call(server.client())
    assert len(server.requests) == 1
    if isinstance(raised.value, errors.ServerUnreachable):
        assert raised.value.maybe_done


@pytest.mark.parametrize("call", NOT_REPEATABLE)
@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), problem(503, "store_unavailable")])
def test_what_was_not_done_is_tried_again(call: Callable[[AgentQ], Any], answer: Answer) -> None:
    server = Server(answer, problem(409, "thread_running"))
    with pytest.raises(errors.Conflict):
        call(server.client())
    assert len(server.requests) == 2


def test_the_server_says_how_long_to_wait() -> None:
    tries = Tries(Call("GET", "/queue", lambda reply: reply), config_of(None, None, 30, 2, None))
    reply = errors_reply(429, {"retry-after": "7"})
    assert tries.judge(reply) == 7.0
    with pytest.raises(errors.TooManyRequests) as raised:
        tries.judge(errors_reply(429, {"retry-after": "3600"}))  # too long to keep the caller waiting
    assert raised.value.retry_after == 3600


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST_PAUSE_SECONDS", 0.5)
    pauses = []
    for _ in range(20):
        tries = Tries(Call("GET", "/queue", lambda reply: reply), config_of(None, None, 30, 5, None))
        pauses.append([tries.judge(Failure("no", maybe_sent=False, cause=OSError())) for _ in range(5)])
    assert all(0.25 <= first <= 0.5 and 4 <= last <= 8 for first, *_, last in pauses)  # type: ignore[operator]  # floats
    assert len({str(each) for each in pauses}) == 20


def errors_reply(status: int, headers: dict[str, str]) -> Any:
    from agentq_client import Reply

    return Reply(status, headers, b'{"code": "x", "detail": "y"}')


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (httpx.ConnectError("refused"), errors.ServerUnreachable, "server_unreachable"),
        (httpx.ReadTimeout("slow"), errors.ServerUnreachable, "server_unreachable"),
        (problem(401, "invalid_api_key"), errors.AuthenticationError, "invalid_api_key"),
        (problem(403, "insufficient_scope"), errors.PermissionDenied, "insufficient_scope"),
        (problem(404, "message_not_found"), errors.NotFound, "message_not_found"),
        (problem(409, "not_queued", state="processing"), errors.Conflict, "not_queued"),
        (problem(410, "message_deleted"), errors.Gone, "message_deleted"),
        (problem(422, "validation_error"), errors.InvalidRequest, "validation_error"),
        (problem(413, "body_too_large"), errors.InvalidRequest, "body_too_large"),
        (problem(429, "too_many_requests"), errors.TooManyRequests, "too_many_requests"),
        (problem(503, "queue_full"), errors.QueueFull, "queue_full"),
        (problem(503, "server_stopping"), errors.ServerUnavailable, "server_stopping"),
        (problem(504, "commit_unknown"), errors.CommitUnknown, "commit_unknown"),
        (problem(500, "internal_error"), errors.ServerFault, "internal_error"),
        (httpx.Response(502, text="<html>"), errors.ServerUnavailable, "http_502"),
        (httpx.Response(418, text="teapot"), errors.UnexpectedReply, "unexpected_reply"),
        (httpx.Response(302, headers={"Location": "http://other.test"}), errors.UnexpectedReply, "unexpected_reply"),
        (httpx.Response(200, text="<html>"), errors.UnexpectedReply, "unexpected_reply"),
        (httpx.Response(200, json={"other": 1}), errors.UnexpectedReply, "unexpected_reply"),
        (httpx.Response(200, json=[]), errors.UnexpectedReply, "unexpected_reply"),
        (problem(404, "not_found"), errors.ServerTooOld, "server_too_old"),
        (problem(405, "method_not_allowed"), errors.ServerTooOld, "server_too_old"),
        (httpx.Response(404, text="nginx"), errors.ServerTooOld, "server_too_old"),
    ],
)
def test_each_trouble_is_one_typed_error(answer: Answer, kind: type[AgentQError], code: str) -> None:
    with pytest.raises(AgentQError) as raised:
        Server(answer).client(max_retries=0).status("m1")
    error = raised.value
    assert type(error) is kind
    assert error.code == code
    assert error.cure
    assert error.cure in str(error)
    assert "aq_key" not in str(error)
    if "x-request-id" in getattr(answer, "headers", {}):
        assert error.request_id == "r1"


def test_a_refusal_names_the_fields() -> None:
    refused = problem(422, "validation_error", errors=[{"field": "priority", "detail": "huge is none"}])
    with pytest.raises(errors.InvalidRequest) as raised:
        Server(refused).client().submit("Hello")
    assert [(field.field, field.detail) for field in raised.value.fields] == [("priority", "huge is none")]


@pytest.mark.parametrize("message_id", ["", ".", ".."])
def test_an_id_that_names_another_route_is_not_sent(message_id: str) -> None:
    server = Server()
    with pytest.raises(errors.ConfigurationError):
        server.client().cancel(message_id)
    assert server.requests == []


def test_an_id_stays_one_segment() -> None:
    server = Server(problem(404, "thread_not_found"))
    with pytest.raises(errors.NotFound):
        server.client().threads.get("a/b?c#d%")
    assert server.requests[0].url.raw_path == b"/threads/a%2Fb%3Fc%23d%25"


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://queue.test", "http://", "queue", "http://[::1", "http://a?b"]
)
def test_an_address_that_cannot_be_used_is_refused_at_once(address: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="http://localhost:8000"):
        AgentQ(address)


def test_a_key_with_a_line_break_is_refused_without_being_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        AgentQ("http://queue.test", "aq_secret\nX: y")
    assert "secret" not in str(raised.value)


def test_what_is_no_json_is_refused_before_it_is_sent() -> None:
    server = Server()
    with pytest.raises(errors.ConfigurationError, match="JSON"):
        server.client().submit(input={"at": object()})
    assert server.requests == []


def test_the_environment_names_server_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTQ_URL", "http://other.test/queue/")
    monkeypatch.setenv("AGENTQ_API_KEY", "aq_env")
    server = Server(httpx.Response(200, json={"paused": True}))
    AgentQ(http_client=httpx.Client(transport=httpx.MockTransport(server))).queue.pause()
    (request,) = server.requests
    assert str(request.url) == "http://other.test/queue/queue/pause"
    assert request.headers["authorization"] == "Bearer aq_env"


def entry(message_id: str) -> dict[str, Any]:
    return {**ACCEPTED, "message_id": message_id, "user_message": "Hello", "priority": "normal"}


def page(*ids: str, link: str | None) -> httpx.Response:
    headers = {} if link is None else {"Link": f'<{link}>; rel="next"'}
    return httpx.Response(200, json={"messages": [entry(each) for each in ids]}, headers=headers)


def test_lists_go_on_to_the_next_page_and_keep_the_key_at_home() -> None:
    server = Server(
        page("a", "b", link="http://evil.test/messages?state=failed&limit=2&cursor=x%3D"),
        page(link="/messages?state=failed&limit=2&cursor=y"),
        page("c", link=None),
    )
    found = server.client().messages(state="failed", limit=2)
    assert [message.message_id for message in found] == ["a", "b", "c"]
    assert [str(request.url) for request in server.requests] == [
        "http://queue.test/messages?state=failed&limit=2",
        "http://queue.test/messages?state=failed&limit=2&cursor=x%3D",
        "http://queue.test/messages?state=failed&limit=2&cursor=y",
    ]


@pytest.mark.parametrize("cursors", ["aa", "aba", "abcb"])
def test_a_list_whose_links_lead_back_ends_with_the_last_page_that_is_new(cursors: str) -> None:
    server = Server(*(page("m", link=f"/messages?cursor={cursor}") for cursor in cursors))
    with pytest.raises(errors.UnexpectedReply, match="read already"):
        list(server.client().messages())
    assert len(server.requests) == len(cursors)


def test_a_list_may_be_read_again() -> None:
    pages = Server(page("a", link="/messages?cursor=x"), page("b", link=None), page("a", link=None)).client().messages()
    assert [message.message_id for message in pages] == ["a", "b"]
    assert [message.message_id for message in pages] == ["a"]


@pytest.mark.parametrize("headers", [{"x": None}, {"x": 7}, {7: "x"}])
def test_a_header_that_is_no_text_is_refused(headers: Any) -> None:
    client = Server().client()
    with pytest.raises(errors.ConfigurationError, match="header"):
        client.with_options(headers=headers).server.health()
    with pytest.raises(errors.ConfigurationError, match="header"):
        client.request("GET", "/", headers=headers)


def test_a_client_that_was_closed_says_so() -> None:
    client = AgentQ("http://127.0.0.1:9")
    client.close()
    with pytest.raises(errors.ConfigurationError, match="closed"):
        client.server.health()


def test_a_certificate_that_is_not_trusted_is_told_at_once() -> None:
    """No later try would help. A stream tells it at once too."""
    refused = httpx.ConnectError("no")
    refused.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    calls: list[Callable[[AgentQ], Any]] = [
        lambda client: client.server.health(),
        lambda client: list(client.follow("m1")),
    ]
    for call in calls:
        server = Server(refused)
        with pytest.raises(errors.ConfigurationError, match=r"self-signed certificate.*SSL_CERT_FILE"):
            call(server.client())
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [[], {"events": [{"id": 1}]}, {"events": [{"id": 1, "type": "retry", "data": {}}]}])
def test_a_log_that_cannot_be_read_is_one_typed_error(body: Any) -> None:
    with pytest.raises(errors.UnexpectedReply):
        Server(httpx.Response(200, json=body)).client().stored_events("m1")


def test_a_reply_keeps_its_headers_and_unknown_fields() -> None:
    headers = {"Idempotent-Replayed": "true", "Location": "/messages/m1"}
    accepted = Server(httpx.Response(202, json={**ACCEPTED, "mood": "good"}, headers=headers)).client().submit("Hello")
    assert accepted.is_replayed
    assert accepted.last_response.status == 202
    assert accepted.last_response.headers["location"] == "/messages/m1"
    assert accepted.model_extra == {"mood": "good"}


def test_other_options_share_the_connections() -> None:
    server = Server(httpx.ReadError("cut"), httpx.Response(200, json={"paused": False}))
    client = server.client(max_retries=0, headers={"X-Team": "red"})
    assert not client.with_options(max_retries=1, api_key="aq_other").queue.resume().paused
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer aq_other"}
    assert {request.headers["x-team"] for request in server.requests} == {"red"}


def signatures(kind: type) -> dict[str, list[str]]:
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(each).parameters) for name, each in members if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    with AgentQ("http://queue.test") as client:
        other = AsyncAgentQ("http://queue.test")
        parts: list[tuple[type, type]] = [(type(client), type(other))]
        parts += [(type(part), type(vars(other)[name])) for name, part in vars(client).items() if name[0] != "_"]
        parts.append((type(client.follow("m1")), type(other.follow("m1"))))
        assert len(parts) == 20
        for ours, theirs in parts:
            assert signatures(ours) == signatures(theirs)


DEEP = b"[" * 100_000


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"inner": value}
    return value


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.status("\ud800"),
        lambda client: client.status(None),
        lambda client: list(client.messages(agent="\ud800")),
        lambda client: client.submit(input=nested(100_000)),
    ],
)
def test_what_cannot_be_sent_is_one_typed_error(call: Callable[[AgentQ], Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        call(Server().client())


@pytest.mark.parametrize("status", [200, 400])
def test_a_reply_that_nests_too_deeply_is_one_typed_error(status: int) -> None:
    with pytest.raises(errors.UnexpectedReply):
        Server(httpx.Response(status, content=DEEP)).client().status("m1")


def test_a_link_that_is_no_address_is_one_typed_error() -> None:
    with pytest.raises(errors.UnexpectedReply, match="next page"):
        list(Server(page("a", link="http://[")).client().messages())


def test_a_time_to_wait_that_is_no_time_is_left_out() -> None:
    assert errors_reply(429, {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999"}).retry_after is None


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12, 0, -1])
def test_a_time_that_no_socket_takes_is_refused(seconds: float) -> None:
    with pytest.raises(errors.ConfigurationError, match="timeout"):
        AgentQ("http://queue.test", timeout=seconds)


def test_a_password_in_the_address_is_not_shown() -> None:
    server = Server(httpx.ConnectError("refused"))
    http = httpx.Client(transport=httpx.MockTransport(server))
    client = AgentQ("http://me:hidden@queue.test", "aq_hidden", http_client=http, max_retries=0)
    with pytest.raises(errors.ServerUnreachable, match=r"http://queue\.test/") as raised:
        client.status("m1")
    assert "hidden" not in str(raised.value)
    assert "aq_hidden" not in repr(client._config)
    with pytest.raises(errors.ConfigurationError) as refused:
        AgentQ("ftp://me:hidden@queue.test")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "other://queue.test"), ("NO_PROXY", "bad[::1]"), ("SSL_CERT_FILE", "/no/such/file")],
)
def test_an_environment_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.ConfigurationError) as raised:
        AgentQ("http://queue.test")
    assert name in raised.value.cure


def test_a_connection_has_less_time_than_a_reply() -> None:
    server = Server(httpx.Response(200, json={"paused": True}))
    server.client(timeout=30).queue.pause()
    assert server.requests[0].extensions["timeout"] == {"connect": 5.0, "read": 30, "write": 30, "pool": 30}
