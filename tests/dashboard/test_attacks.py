"""Harm through a browser, and things that are gone or away while a page is open."""

import json
import re
from pathlib import Path
from urllib.parse import quote

from playwright.async_api import Route, expect

from app.access.scopes import AccessScope
from tests.dashboard.browser import browser, page_of
from tests.dashboard.test_access import sign_in
from tests.dashboard.test_play import SENTENCE, environment, say
from tests.dashboard.test_threads import HOSTILE, LONG, SCRIPT, is_unharmed
from tests.integration.test_interrupts import interrupted
from tests.integration.test_keys import issue
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, live_server, server_process, settings_for, until

HOSTILE_QUESTION = {
    "question": HOSTILE,
    "schema": {
        "type": "object",
        "title": SCRIPT,
        "properties": {
            "__proto__": {"type": "string", "title": SCRIPT},
            "constructor": {"enum": [SCRIPT, {"toString": 1}, LONG]},
            SCRIPT: {"type": "string", "description": HOSTILE, "default": SCRIPT},
            "loop": {"$ref": "#"},
            "odd": {"$ref": "#/properties/__proto__/constructor", "type": "integer"},
            "none": None,
        },
        "required": "everything",
    },
}

NAME = "<b onclick>'&quot;&amp;" + "w" * 200
"""An agent with a hostile name."""

SCREENS = ("pulse", "messages", "threads", "attention", "workers", "usage", "settings", "access/audit", "play")

EVIL = """<form id=f method=post enctype="text/plain" action="{url}/messages">
<input name='{{"message": "forged", "x": "' value='"}}'></form>
<script>
const send = (path, method, body) =>
  fetch("{url}" + path, {{ method, credentials: "include", mode: "no-cors", body }}).catch(() => 0);
window.done = Promise.all([
  send("/queue/pause", "POST"),
  send("/messages/{id}/cancel", "POST"),
  send("/messages", "POST", '{{"message": "forged"}}'),
  send("/session", "DELETE"),
]).then(() => document.title = "done");
</script>"""
"""A page of another origin on the same host, to which browsers send the cookie."""

WRITES = (
    ("POST", "/messages", {"message": "x"}),
    ("POST", "/messages/{id}/cancel", None),
    ("POST", "/messages/{id}/retry", None),
    ("PATCH", "/messages/{id}", {"priority": "high"}),
    ("DELETE", "/messages/{id}", None),
    ("POST", "/messages/cancel", {"message_ids": ["{id}"]}),
    ("DELETE", "/threads/trip", None),
    ("POST", "/queue/pause", None),
    ("POST", "/keys", {"name": "mine", "scopes": ["admin"]}),
)

CALL = """async ([method, path, body]) => {
  const { csrf_token: proof } = await (await fetch("/session")).json();
  const options = { method, headers: { "Content-Type": "application/json", "X-CSRF-Token": proof } };
  if (body !== null) options.body = JSON.stringify(body);
  return (await fetch(path, options)).status;
}"""


async def states_of(server: LiveServer, message_id: str, headers: dict[str, str]) -> tuple[str, bool, int]:
    """Return the state of a message, whether the queue is paused, and how many messages there are."""
    message = (await server.client.get(f"/messages/{message_id}", headers=headers)).json()
    queue = (await server.client.get("/queue", headers=headers)).json()
    listed = (await server.client.get("/messages", headers=headers)).json()
    return message["state"], queue["paused"], len(listed["messages"])


async def test_pages_of_other_origins_and_viewers_change_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        admin, viewer = await issue(server), await issue(server, AccessScope.READ)
        headers = {"Authorization": f"Bearer {admin.text}"}
        sent = await server.client.post("/messages", json={"message": "x", "thread_id": "trip"}, headers=headers)
        message_id = sent.json()["message_id"]
        before = await states_of(server, message_id, headers)

        await page.goto(f"{server.url}/dashboard/#/messages")
        await sign_in(page, admin.text)
        await expect(page.get_by_role("link", name="x", exact=True)).to_be_visible()
        evil = await page.context.new_page()

        async def answer(route: Route) -> None:
            await route.fulfill(body=EVIL.format(url=server.url, id=message_id), content_type="text/html")

        await evil.route("http://127.0.0.1:9/**", answer)
        await evil.goto("http://127.0.0.1:9/")
        await expect(evil).to_have_title("done")
        await evil.evaluate("document.getElementById('f').submit()")
        await evil.wait_for_url(f"{server.url}/messages")
        await expect(evil.locator("body")).to_contain_text("csrf_failed")
        assert await states_of(server, message_id, headers) == before
        await page.reload()
        await expect(page.get_by_role("link", name="x", exact=True)).to_be_visible()  # the session goes on

        await page.get_by_role("button", name="Sign out").click()
        await sign_in(page, viewer.text)
        await expect(page.get_by_role("link", name="x", exact=True)).to_be_visible()
        for method, path, body in WRITES:
            given = json.loads(json.dumps(body).replace("{id}", message_id))
            status = await page.evaluate(CALL, [method, path.format(id=message_id), given])
            assert status == 403, (method, path)
        assert await states_of(server, message_id, headers) == before


async def test_hostile_questions_errors_and_names_harm_no_screen(tmp_path: Path) -> None:
    agents = f"asks=tests.dashboard.graphs:asks,fails=tests.dashboard.graphs:fails,{NAME}=tests.dashboard.graphs:calls"
    settings = settings_for(tmp_path, agents=agents, max_attempts=1, worker_concurrency=2)
    async with (
        live_server(settings) as server,
        browser() as one,
        page_of(one, viewport={"width": 375, "height": 700}) as page,
    ):
        given = {"thread_id": f"<b>/../{LONG}"[:255], "metadata": {SCRIPT[:60]: SCRIPT, "long": LONG[:400]}}
        asked = await server.submit(json.dumps(HOSTILE_QUESTION), agent="asks", **given)
        failed = await server.submit(
            HOSTILE, agent="fails", name=SCRIPT, thread_id="failed", metadata=given["metadata"]
        )
        named = await server.submit(HOSTILE, agent=NAME, **given)
        await server.ended(failed["message_id"])
        await interrupted(server, asked["message_id"])
        for screen in (
            *SCREENS,
            *(f"message/{each['message_id']}" for each in (asked, failed, named)),
            f"messages?q={SCRIPT}",
            f"messages?agent={quote(NAME)}",
        ):
            await page.goto(f"{server.url}/dashboard/#/{screen}")
            await expect(page.get_by_role("heading", level=1).first).to_be_visible()
            await expect(page.get_by_text("Loading…")).to_have_count(0)
            await is_unharmed(page)
        await page.goto(f"{server.url}/dashboard/#/attention")
        form = page.get_by_role("form").first
        await form.get_by_label(SCRIPT).first.fill("an answer")
        await is_unharmed(page)


GONE = {
    "message/00000000-0000-7000-8000-000000000000": "There is no such message",
    "message/%E0%A4%A": "There is no such message",
    "threads/gone": "There is no such thread",
    "threads/gone?view=states&state=x&against=y": "There is no such thread",
    "play/gone": "New conversation",
    "nowhere": "There is no such screen",
    "messages?state=odd": "state",
    "usage?group=odd&days=-1": "Usage",
}
"""Addresses of what is gone or never was, and what the page says."""


async def test_addresses_of_what_is_gone_say_so_and_lead_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard/#/pulse")
        for address, words in GONE.items():
            await page.goto(f"{server.url}/dashboard/#/{address}")
            await expect(page.get_by_role("main").get_by_text(words).first).to_be_visible()
            await is_unharmed(page)
        for address in reversed(list(GONE)[:-1]):
            await page.go_back()
            await expect(page.get_by_role("main").get_by_text(GONE[address]).first).to_be_visible()


async def test_an_older_server_and_a_lost_network_are_told_in_words(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one, is_cut_off=True) as page:
        await server.submit("Still here")

        async def unknown(route: Route) -> None:
            problem = {"status": 404, "code": "not_found", "title": "Not Found", "detail": "There is nothing here."}
            await route.fulfill(status=404, json=problem, content_type="application/problem+json")

        await page.route("**/usage?**", unknown)
        await page.goto(f"{server.url}/dashboard/#/usage")
        await expect(page.get_by_role("alert").first).to_contain_text("older than this page")
        await page.goto(f"{server.url}/dashboard/#/messages")
        await expect(page.get_by_role("link", name="Still here")).to_be_visible()
        await page.get_by_label("Filter").fill("agent:chat")
        await page.context.set_offline(True)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert").filter(has_text="Try again")).to_contain_text("got no reply")
        await page.get_by_role("link", name="Threads").click()
        await expect(page.get_by_role("alert").filter(has_text="cannot be loaded")).to_be_visible()
        await page.get_by_role("link", name="Usage").click()  # its code was loaded before
        await expect(page.get_by_role("heading", name="Usage")).to_be_visible()
        await page.get_by_role("link", name="Threads").click()
        await expect(page.get_by_role("alert").filter(has_text="cannot be loaded")).to_be_visible()
        await page.context.set_offline(False)
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("heading", name="Threads", exact=True)).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("heading", name="Usage")).to_be_visible()


async def test_an_open_page_reads_on_by_itself_after_a_long_outage(tmp_path: Path, model: StubServer) -> None:
    """The client has given up meanwhile. Nobody presses a button."""
    gate, again = Gate(SENTENCE), Gate(SENTENCE)
    model.replies.extend([gate, again])
    with server_process(tmp_path, **environment(model)) as first:
        await first.ready()
        async with browser() as one, page_of(one, is_cut_off=True) as page:
            await page.clock.install()
            await page.goto(f"{first.url}/dashboard/#/play")
            await say(page, "Count")
            await page.get_by_role("link", name="Details").click()
            gate.release(3)
            answer = page.get_by_role("region", name="Text of the answer")
            await expect(answer).to_have_text("one two three")
            first.kill()
            # The page reads a stream or, without a place for one, pages of events.
            gave_up = page.get_by_role("alert").filter(has_text=re.compile("brought nothing new|got no reply"))

            async def has_given_up() -> bool:
                await page.clock.fast_forward(60_000)
                return await gave_up.is_visible()

            await until(has_given_up, "the client has given up")
            await expect(answer).to_have_text("one two three")
            again.release_all()
            with server_process(tmp_path, **environment(model), PORT=str(first.port)):
                await page.clock.fast_forward(60_000)
                await expect(answer).to_have_text(SENTENCE, timeout=30_000)
                await expect(page.get_by_role("alert")).to_have_count(0)
                await expect(page.get_by_role("button", name="live")).to_be_visible()
