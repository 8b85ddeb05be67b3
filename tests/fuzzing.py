"""Odd requests, generated from the description of the API: to each operation, for callers with each scope.

Every reply is held against the description. A caller without the scope, or of another tenant, gets nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.access.scopes import AccessScope, scope_of

SECONDS = 20.0
MAX_SHOWN_BODY = 2_000
END_SECONDS = 30.0
THREADS = ("a/b", "a/b", "%2F", None)

Scopes = Mapping[str, AccessScope | None]
"""The scopes that operations need, by method and path. None for those that need none."""

Known = Mapping[str, Sequence[str]]
"""Ids that exist, by the names of the parameters that take them."""


Drawn = tuple[Case[Any], dict[str, Any]]
"""A request and the path parameters that it was drawn with."""


@dataclass(frozen=True)
class Caller:
    """Somebody with an API key, or without one. `is_foreign`: of another tenant than what exists."""

    name: str
    scopes: frozenset[AccessScope]
    key: str | None = None
    is_foreign: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the key."""
        return {} if self.key is None else {"X-API-Key": self.key}


@dataclass
class Findings:
    """The result of a run: the number of requests, their statuses, and the failures by caller and operation.

    `unauthorized` has the operations that answered 401 to a request without a ticket.
    """

    sent: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    unauthorized: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)


def scopes_of(app: FastAPI) -> dict[str, AccessScope | None]:
    """The scope that each operation needs, by method and path."""
    return {
        f"{method} {route.path_format}": scope_of(route.endpoint)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


class Target(Protocol):
    """An API to send requests to."""

    def schema(self, url: str) -> BaseSchema:
        """The description of the API."""
        ...

    def fill(self, client: httpx2.Client) -> Known:
        """Store what readers can find, and return its ids."""
        ...

    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        """Send a request as this caller, check the reply, and return its status. Raises for a wrong reply."""
        ...


class NativeApi:
    """The native API, whose replies are held against its description."""

    def schema(self, url: str) -> BaseSchema:
        return schemathesis.openapi.from_url(f"{url}/openapi.json")

    def fill(self, client: httpx2.Client) -> Known:
        return fill(client)

    def ask(self, url: str, case: Case[Any], caller: Caller, known: Known) -> int:
        endless = case.operation.label == "GET /events"  # the stream of changes; asked for as a page, it has an end
        headers = {**caller.headers, "Accept": "application/json"} if endless else caller.headers
        response = case.call(base_url=url, timeout=SECONDS, headers=headers)
        try:
            case.validate_response(response, excluded_checks=[positive_data_acceptance])
        except FailureGroup as found:
            sent_body = str(response.request.body)[:MAX_SHOWN_BODY]
            found.add_note(f"{response.status_code} to {response.request.url} {sent_body}")
            raise
        return response.status_code


def fill(client: httpx2.Client) -> Known:
    """Submit messages and wait until they have ended. Return their ids."""
    client.post("/queue/resume")
    sent = []
    for thread in THREADS:
        response = client.post("/messages", json={"message": "Hello", "thread_id": thread})
        assert response.status_code == 202, response.text
        sent.append(str(response.json()["message_id"]))
    end = time.monotonic() + END_SECONDS
    for message_id in sent:
        while client.get(f"/messages/{message_id}").json()["completed_at"] is None:
            assert time.monotonic() < end, f"message {message_id} has not ended"
            time.sleep(0.02)
    return {"message_id": sent, "thread_id": ["a/b", "%2F"]}


def modes_of(operation: Any) -> Iterator[GenerationMode]:
    """The kinds of requests to an operation: those that fit the description, and those that do not."""
    yield GenerationMode.POSITIVE
    if operation.query or operation.body:  # else nothing can be wrong about it
        yield GenerationMode.NEGATIVE


def fuzz(
    admin: httpx2.Client,
    callers: Sequence[Caller],
    needs: Scopes,
    *,
    examples: int,
    seeded: int | None = None,
    target: Target | None = None,
) -> Findings:
    """Send each operation `examples` requests of each kind as each caller. `seeded` None: always the same requests.

    A stream of a message that has not ended would not end either. No message that this sends is looked at by it: half
    of the ids are of messages that have ended, the others are made up.
    """
    findings = Findings()
    target = target or NativeApi()
    url = str(admin.base_url).rstrip("/")
    requests = []
    for result in target.schema(url).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        requests += [(operation, mode, draw(operation, mode, examples, seeded)) for mode in modes_of(operation)]
    requests.sort(key=lambda request: request[0].method.upper() == "DELETE")  # last, so that others find what exists
    for caller in callers:
        known = target.fill(admin)
        for operation, mode, cases in requests:
            admin.post("/queue/resume")  # a request that waits for its message would wait for ever
            try:
                for number, (case, drawn) in enumerate(cases, 1):
                    _send(target, url, case, drawn, number, caller, needs[operation.label], known, findings)
            except (BaseExceptionGroup, AssertionError) as found:  # the faults of one reply
                texts = map(str, found.exceptions if isinstance(found, BaseExceptionGroup) else [found])
                failure = "\n".join((*texts, *getattr(found, "__notes__", ())))
                findings.failures[f"{caller.name}, {mode.value}: {operation.label}"] = failure
    return findings


def draw(operation: Any, mode: GenerationMode, examples: int, seeded: int | None) -> list[Drawn]:
    """Draw requests to an operation, once for all callers: to draw one costs ten times as much as to send it.

    With ids in its path, each is sent twice: with ids that exist, then with the ids that were drawn.
    """
    cases: list[Drawn] = []
    times = 2 if operation.path_parameters else 1

    @hypothesis_settings(
        max_examples=-(-examples // times),
        deadline=None,
        database=None,
        derandomize=seeded is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def keep(case: Case[Any]) -> None:
        cases.append((case, dict(case.path_parameters or {})))

    (keep if seeded is None else seed(seeded)(keep))()
    return [drawn for drawn in cases for _ in range(times)][:examples]


def _send(
    target: Target,
    url: str,
    case: Case[Any],
    drawn: Mapping[str, Any],
    number: int,
    caller: Caller,
    needed: AccessScope | None,
    known: Known,
    findings: Findings,
) -> None:
    """Send a request as this caller, each second one with ids that exist."""
    existing = {name: ids[number // 2 % len(ids)] for name, ids in known.items() if name in drawn and number % 2}
    case.path_parameters = {**drawn, **existing}
    findings.sent += 1
    status = target.ask(url, case, caller, known)
    findings.statuses[status] = findings.statuses.get(status, 0) + 1
    if status == 401 and "ticket" not in (case.query or {}):
        findings.unauthorized.add(case.operation.label)
    if needed is not None and needed not in caller.scopes:
        assert status >= 400, f"without the scope {needed}: {status}"
    if caller.is_foreign and existing:
        assert status >= 400, f"for another tenant: {status}"
