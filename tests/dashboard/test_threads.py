"""The screen Threads in a browser: the list, a thread's messages and states, and texts that want to do harm."""

import json
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.browser import browser, page_of
from tests.dashboard.test_play import check_access
from tests.graph_control import GraphControl
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.servers import LiveServer, live_server, server_process, settings_for

LONG = "x" * 3_000
TURNED = "\u202egnp.elif\u2066"
SCRIPT = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
HOSTILE = f"""{SCRIPT}

[click](javascript:window.harmed=1) ![pixel](http://192.0.2.1/pixel.png) <iframe src="http://192.0.2.1/"></iframe>
<style>body {{ display: none }}</style> <form action="http://192.0.2.1/"><input name=secret></form> <a href="http://192.0.2.1/">home</a>
{TURNED} {LONG}
"""


async def is_unharmed(page: Page) -> None:
    assert await page.evaluate("window.harmed") is None
    root = "document.documentElement"
    width = await page.evaluate(f"[{root}.scrollWidth, {root}.clientWidth]")
    assert width[0] == width[1], "the page became wider than its window"
    assert await page.locator("iframe, main form[action], main style, a[href^=javascript]").count() == 0


async def talk(server: LiveServer, *texts: str) -> None:
    for text in texts:
        message = await server.submit(text, thread_id="trip", metadata={"user": "u_12"}, name="Trip to Oslo")
        await server.ended(message["message_id"])


async def test_a_thread_is_found_read_forked_renamed_exported_and_deleted(
    tmp_path: Path, control: GraphControl
) -> None:
    settings = settings_for(tmp_path, agents="steps=tests.graphs:steps")
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        await talk(server, "First", "Second")
        control.hold("first")
        await server.submit("Third", thread_id="trip")
        await server.submit("Fourth", thread_id="trip")
        await server.submit("Elsewhere", thread_id="other")

        await page.goto(f"{server.url}/dashboard/#/threads")
        await expect(page.get_by_role("link", name="other")).to_be_visible()
        await page.get_by_label("Search").fill("user=u_12")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="other")).to_have_count(0)
        await page.goto(f"{server.url}/dashboard/#/threads")
        await expect(page.get_by_role("link", name="other")).to_be_visible()
        await page.get_by_label("Search").fill("OSLO")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="other")).to_have_count(0)
        await check_access(page)
        await page.get_by_role("link", name="Trip to Oslo").click()

        lane = page.get_by_label("Messages in their order").get_by_role("listitem")
        await expect(lane).to_have_count(4)
        await expect(lane.nth(2)).to_contain_text("running")
        await lane.nth(3).get_by_label("Priority").select_option("high")
        await expect(page.get_by_role("status").filter(has_text="The priority is now high")).to_be_visible()
        await expect(page.get_by_label("Messages of the thread")).to_contain_text("Heard: First | Second")
        await check_access(page)
        control.release_all()
        await expect(lane.nth(3)).to_contain_text("completed")

        await page.keyboard.press("s")
        await page.get_by_label("Show step 2").check()
        state = page.get_by_label("State", exact=True)
        await expect(state).to_contain_text("Heard: First")
        await page.get_by_label("Compare with step 0").check()
        await expect(state.locator("li[data-kind]")).to_have_count(2)  # the two answers of the agent
        await expect(state).not_to_contain_text("changed messages")
        await page.reload()
        await expect(state.locator("li[data-kind]")).to_have_count(2)
        await check_access(page)

        await state.get_by_role("button", name="Fork from here").click()
        await expect(page.get_by_text("What the agent remembers from before")).to_be_visible()
        await page.get_by_label("Message", exact=True).fill("Other way")
        await page.keyboard.press("Enter")
        await expect(page.locator("li.turn .reply")).to_contain_text("Heard: First | Other way")

        await page.goto(f"{server.url}/dashboard/#/threads/trip")
        async with page.expect_download() as saved:
            await page.get_by_role("button", name="Export").click()
        await (await saved.value).save_as(tmp_path / "trip.jsonl")
        lines = (tmp_path / "trip.jsonl").read_text().splitlines()
        assert [json.loads(line)["user_message"] for line in lines] == ["First", "Second", "Third", "Fourth"]
        await page.get_by_role("button", name="Rename").click()
        await page.get_by_role("textbox", name="Name").fill("Journey")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Journey")).to_be_visible()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("button", name="Delete it").click()
        await expect(page.get_by_role("heading", name="Threads")).to_be_visible()
        await expect(page.get_by_role("link", name="Journey")).to_have_count(0)
        assert (await server.client.get("/threads/trip")).status_code == 404
        await page.goto(f"{server.url}/dashboard/#/threads/trip")
        await expect(page.get_by_text("There is no such thread")).to_be_visible()


async def test_hostile_texts_do_nothing_and_break_no_layout(tmp_path: Path, model: StubServer) -> None:
    model.replies.extend([ToolCall("_add", {"a": 1, "b": HOSTILE}), Answer(HOSTILE)])
    name = f"{SCRIPT}{TURNED}{LONG}"[:255]
    thread = f"<b>/../{TURNED}{LONG}"[:255]
    environment = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-test", "AGENTS": "tools=tests.graphs:tools"}
    with server_process(tmp_path, **environment, **GraphControl(tmp_path).environment) as server:
        await server.ready()
        async with browser() as one, page_of(one, viewport={"width": 375, "height": 700}) as page:
            await page.goto(f"{server.url}/dashboard/#/play")
            sent = await page.request.post(
                f"{server.url}/messages",
                data={"message": HOSTILE, "thread_id": thread, "name": name, "metadata": {SCRIPT[:60]: SCRIPT}},
            )
            assert sent.status == 202, await sent.text()
            await page.goto(f"{server.url}/dashboard/#/threads")
            row = page.get_by_role("row").nth(1)
            await expect(row).to_contain_text("<script>")
            await is_unharmed(page)
            await row.get_by_role("link").click()
            transcript = page.get_by_label("Messages of the thread")
            await expect(transcript).to_contain_text("[image: pixel]")
            await expect(transcript).to_contain_text("completed")
            await page.locator("li.turn").scroll_into_view_if_needed()  # steps are loaded when they come in sight
            await transcript.get_by_text("Tool _add").click()
            await is_unharmed(page)
            await page.get_by_role("link", name="States").click()
            await expect(page.get_by_label("State", exact=True)).to_contain_text("messages")
            await is_unharmed(page)
            await page.get_by_role("link", name="Open in Play").click()
            await expect(page.get_by_role("list", name="Conversation")).to_contain_text("[image: pixel]")
            await is_unharmed(page)
