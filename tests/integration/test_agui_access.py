"""Access of AG-UI's clients: scopes, threads of others, tenants, and a key that is revoked."""

from collections.abc import Iterator
from typing import Any

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.protocols.agui import SURFACE
from tests.agui_events import ReadRun, events_of
from tests.agui_requests import GRAPHS, answer, ask, back, question_of, reading, run, said, sent
from tests.callers import admit
from tests.foreign_ids import Asked, routes_of, walk
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue, manager
from tests.servers import until
from tests.strangers import AGENTS, STRANGERS, ann_has, snapshot
from tests.surfaces import check_refused


async def test_scopes(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    key = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT, AccessScope.READ})))
    asked = await sent(server, run(), "approving", key=key)
    question = question_of(asked)
    for given in (answer(question), answer(question, status="cancelled")):
        response = await ask(server, "/approving", back(run_id="r2", resume=given), key=key)
        assert "scope `control`" in check_refused(response, "/agui", 403, "insufficient_scope")
        response = await ask(server, "/approving", run(run_id="r2", resume=given), key=key)
        assert "scope `control`" in check_refused(response, "/agui", 403, "insufficient_scope")
    again = await sent(server, back(), "approving", key=key)
    assert question_of(again) == question, "it is open as before"
    check_refused(await ask(server, "/steps/t/stop", key=key), "/agui", 403, "")
    check_refused(await ask(server, "/steps", run()), "/agui", 401, "")
    submits = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT})))
    lists = await sent(server, run(threadId="l"), "lists", key=submits)
    assert lists.state is None, "the state has what others have left there"
    for body in (run(threadId="l"), back(threadId="l")):
        refused = await ask(server, "/lists", body, key=submits)
        assert "scope `read`" in check_refused(refused, "/agui", 403, "insufficient_scope")


async def test_foreign_threads_are_like_new_ones(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    before = await snapshot(store)
    agent = AGENTS.partition("=")[0]
    asked: list[tuple[str, str, Any]] = [
        (method, path.replace("{agent}", agent), None) for method, path in routes_of(SURFACE) if "{thread_id}" in path
    ]
    asked += [("POST", f"/{agent}", run(resume=answer("q"), threadId="{thread_id}"))]

    def requests(_: str) -> Iterator[Asked]:
        for method, path, body in asked:
            for name in (*known["thread"], *known["message"], *known["alias"]):
                yield Asked(method, path, {"thread_id": name}, {"thread_id": "ann/nothing"}, body)

    await walk(server, SURFACE, requests, at_least=100)
    for stranger in STRANGERS.values():
        key = await admit(server, stranger)
        served = agent if stranger.agents is None else min(stranger.agents)
        for name in (*known["thread"], *known["message"], *known["alias"], "ann/nothing"):
            read = await sent(server, back(threadId=name), served, key=key)
            assert (read.messages, read.state, read.outcome) == ([], None, "success"), name
    for who in ("another subject", "other threads"):
        key = await admit(server, STRANGERS[who])
        for messages in ([said()], [said(id="u1"), {"id": "a", "role": "assistant", "content": "x"}, said(id="u2")]):
            refused = await ask(server, f"/{agent}", run(*messages, threadId=known["thread"][0]), key=key)
            check_refused(refused, "/agui", 404, "")
    assert await snapshot(store) == before


async def test_two_tenants_with_the_same_ids_have_threads_of_their_own(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    scopes = frozenset({AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL})
    one, other = [await admit(server, Principal(tenant, scopes)) for tenant in ("one", "other")]
    assert (await sent(server, run(said("Mine")), key=one)).shown()[-1] == "Heard: Mine"
    assert (await sent(server, back("r"), key=other)).shown() == []
    assert (await sent(server, run(said("Yours")), key=other)).shown()[-1] == "Heard: Yours"
    assert (await sent(server, back("r"), key=one)).shown()[-1] == "Heard: Mine"


async def test_a_page_whose_key_is_revoked_is_told_so(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    key = await issue(server)
    async with reading(server, run(), **bearer(key)) as stream:
        await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
        await manager(server).revoke(None, key.key.id)
        read = ReadRun().take(*events_of(await stream.aread()))
    assert read.end is not None
    assert "access has ended" in read.end["message"]
