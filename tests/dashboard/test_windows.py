"""Several windows of one browser on the same server: they share its connections and its cookie."""

from pathlib import Path

from playwright.async_api import Page, Request, expect

from app.access.scopes import AccessScope
from tests.dashboard.browser import browser, page_of
from tests.dashboard.test_access import sign_in
from tests.dashboard.test_play import SENTENCE, environment, say, turns
from tests.integration.test_keys import issue
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, live_server, server_process, settings_for, until

WINDOWS = 4
"""Each wants three streams, and browsers open six connections to a server."""

EVERYTHING = (AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)


async def test_windows_that_want_more_streams_than_connections_hinder_no_request(
    tmp_path: Path, model: StubServer
) -> None:
    gates = [Gate(SENTENCE) for _ in range(2 * WINDOWS)]
    model.replies.extend(gates)
    with server_process(tmp_path, **{**environment(model), "WORKER_CONCURRENCY": str(2 * WINDOWS)}) as server:
        await server.ready()
        async with browser() as one, page_of(one) as first:
            windows = [first, *[await first.context.new_page() for _ in range(WINDOWS - 1)]]
            for window in windows:
                await window.goto(f"{server.url}/dashboard/#/play?agent=chat&other=chat")
                await say(window, "Count")
                await expect(turns(window)).to_have_count(2)
            await model.received(2 * WINDOWS)
            for gate in gates:
                gate.release(3)
            for window in windows:
                for turn in range(2):
                    await expect(turns(window).nth(turn).locator(".reply")).to_have_text("one two three")
            last = windows[-1]
            await expect(last.get_by_role("button", name="every 5 s")).to_be_visible()
            for gate in gates:
                gate.release_all()
            for window in windows:
                for turn in range(2):
                    await expect(turns(window).nth(turn).locator(".reply")).to_have_text(SENTENCE)
                    await expect(turns(window).nth(turn)).to_contain_text("completed")
            await first.close()
            await expect(last.get_by_role("button", name="live")).to_be_visible()


async def test_replies_are_read_to_their_end_without_an_abort(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one) as page,
    ):
        aborted: list[str] = []
        open_requests: set[Request] = set()

        def ended(request: Request) -> None:
            open_requests.discard(request)
            if request.failure is not None:
                aborted.append(f"{request.url} {request.failure}")

        def finished(request: Request) -> None:
            open_requests.discard(request)

        def began(request: Request) -> None:
            if not request.url.endswith("/events"):  # the stream of changes has no end
                open_requests.add(request)

        page.on("request", began)
        page.on("requestfinished", finished)
        page.on("requestfailed", ended)
        for screen in ("pulse", "play", "messages", "threads", "attention", "settings"):
            await page.goto(f"{server.url}/dashboard/#/{screen}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_text("Loading…")).to_have_count(0)
            await until(lambda: not open_requests, "all replies are read")
        assert aborted == []


async def tenant_page(page: Page, server: LiveServer, credential: str) -> None:
    await page.goto(f"{server.url}/dashboard/#/messages")
    await sign_in(page, credential)


async def test_nothing_of_a_tenant_stays_when_another_signs_in_in_the_same_browser(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        keys = {name: await issue(server, *EVERYTHING, tenant=name) for name in ("red", "blue")}
        spare = await issue(server, *EVERYTHING, tenant="red")
        for name, key in keys.items():
            sent = {"message": f"Secret of {name}", "thread_id": "shared"}
            await server.client.post("/messages", json=sent, headers={"Authorization": f"Bearer {key.text}"})
        await tenant_page(page, server, keys["red"].text)
        await expect(page.get_by_role("link", name="Secret of red")).to_be_visible()

        # Another key of the tenant signs in elsewhere: the page goes on with its cookie.
        await page.request.post(f"{server.url}/session", data={"credential": spare.text})
        await page.get_by_label("Select Secret of red").check()
        await page.get_by_role("button", name="Cancel 1").click()
        await page.get_by_role("button", name="Cancel them").click()
        await expect(page.get_by_role("status").filter(has_text="1 message cancelled")).to_be_visible()

        chat = await page.context.new_page()
        await chat.goto(f"{server.url}/dashboard/#/play/shared")
        await expect(turns(chat)).to_contain_text("Secret of red")
        await chat.get_by_label("Message", exact=True).fill("Typed by red")
        await page.get_by_role("button", name="Sign out").click()
        await expect(chat.get_by_label("API key or token")).to_be_visible()
        await expect(chat.get_by_text("Secret of red")).to_have_count(0)

        await sign_in(page, keys["blue"].text)
        await expect(page.get_by_role("link", name="Secret of blue")).to_be_visible()
        await expect(turns(chat)).to_contain_text("Secret of blue")
        await expect(chat.get_by_label("Message", exact=True)).to_have_value("")

        # No page tells the others: the first refusal does, and nothing is done in the other tenant.
        await chat.get_by_label("Message", exact=True).fill("For blue alone")
        await page.request.post(f"{server.url}/session", data={"credential": spare.text})
        await chat.keyboard.press("Enter")
        await expect(turns(chat)).to_contain_text("Secret of red")
        await expect(chat.get_by_text("Secret of blue")).to_have_count(0)

        async def submitted() -> list[str]:
            listed = await page.request.get(f"{server.url}/messages")
            return [each["user_message"] for each in (await listed.json())["messages"]]

        await until(submitted, "the list is read")
        assert await submitted() == ["Secret of red"]
