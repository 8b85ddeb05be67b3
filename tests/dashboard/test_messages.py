"""The list of messages in a browser."""

import json
import re
from pathlib import Path

from playwright.async_api import expect

from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.servers import live_server, settings_for


async def test_messages_are_listed_filtered_and_cancelled(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one) as page,
    ):
        for number in range(3):
            await server.submit(f"Question {number}", priority="low")
        await server.submit("Urgent", priority="high")
        await page.goto(f"{server.url}/dashboard/#/messages")
        rows = page.get_by_role("row")
        await expect(rows).to_have_count(5)
        assert await faults_of_access(page) == []

        await page.get_by_label("Filter").fill("priority:low")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(4)
        assert page.url.endswith("#/messages?priority=low")
        await page.go_back()
        await expect(rows).to_have_count(5)

        late = await server.submit("Comes by itself")
        await expect(page.get_by_role("link", name="Comes by itself")).to_be_visible()
        await server.client.post(f"/messages/{late['message_id']}/cancel")
        await expect(rows.nth(1)).to_contain_text("cancelled")

        await page.keyboard.press("Escape")  # leaves the filter
        for _ in range(3):
            await page.keyboard.press("j")
            await page.keyboard.press("x")
        await page.keyboard.press("c")
        await page.get_by_role("button", name="Cancel them").click()
        await expect(page.get_by_role("status").filter(has_text="2 messages cancelled")).to_be_visible()
        await expect(rows.filter(has_text="cancelled")).to_have_count(3)


async def test_all_that_match_are_searched_changed_kept_and_exported(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one, viewport={"width": 375, "height": 800}) as page,
    ):
        for number in range(4):
            await server.submit(f"Train {number}", thread_id="trains", priority="low", metadata={"city": "Bern"})
        await server.submit('=HYPERLINK("https://evil.example")', metadata={"city": "Rome"})
        await page.goto(f"{server.url}/dashboard/#/messages")
        every = page.get_by_role("group", name="All that match")
        await expect(every).to_contain_text("5 match")

        await page.get_by_label("Filter").fill("bern")  # in the values of the metadata
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name=re.compile("^Train"))).to_have_count(4)
        await page.get_by_role("link", name="q:bern").click()
        await page.get_by_label("Filter").fill("thread_id:trains")
        await page.keyboard.press("Enter")
        await expect(every).to_contain_text("4 match")
        await page.get_by_role("button", name="Save this view").click()
        await page.get_by_label("Name").fill("<b>Trains</b>")
        await page.keyboard.press("Enter")
        assert await faults_of_access(page) == []

        await every.get_by_role("button", name="With all that match").click()
        await every.get_by_role("button", name="Change the priority").click()
        await page.get_by_role("button", name="Change them").click()
        await expect(page.get_by_role("status").filter(has_text="4 messages changed")).to_be_visible()
        await every.get_by_role("button", name="Cancel all").click()
        await expect(page.get_by_text("Cancel 4 messages?")).to_be_visible()
        late = await server.submit("Train 5", thread_id="trains")
        await page.get_by_role("button", name="Cancel them").click()
        await expect(page.get_by_role("status").filter(has_text="selects 5 messages, not 4")).to_be_visible()
        assert (await server.status(late["message_id"]))["state"] == "queued"
        await expect(every).to_contain_text("5 match")
        await every.get_by_role("button", name="Cancel all").click()
        await page.get_by_role("button", name="Cancel them").click()
        await expect(page.get_by_role("status").filter(has_text="5 messages cancelled")).to_be_visible()

        await page.goto(f"{server.url}/dashboard/#/messages?state=queued")
        await page.reload()
        await expect(page.get_by_role("link", name="<b>Trains</b>")).to_be_visible()
        await every.get_by_role("button", name="With all that match").click()
        async with page.expect_download() as download:
            await every.get_by_role("button", name="Export as CSV").click()
        lines = (await (await download.value).path()).read_text().splitlines()
        assert len(lines) == 2
        assert '"\'=HYPERLINK(""https://evil.example"")"' in lines[1], "no formula for a spreadsheet"
        async with page.expect_download() as download:
            await every.get_by_role("button", name="Export as JSON lines").click()
        (line,) = (await (await download.value).path()).read_text().splitlines()
        assert json.loads(line)["metadata"] == {"city": "Rome"}


async def test_who_is_far_down_a_live_list_keeps_the_place(tmp_path: Path) -> None:
    async with (
        live_server(settings_for(tmp_path, worker_concurrency=0)) as server,
        browser() as one,
        page_of(one) as page,
    ):
        messages = [{"message": f"Question {number}"} for number in range(250)]
        (await server.client.post("/messages/batch", json={"messages": messages})).raise_for_status()
        await page.goto(f"{server.url}/dashboard/#/messages")
        table, body = page.get_by_role("table", name="Messages"), page.locator(".table .body")
        await expect(page.get_by_role("link", name="Question 249")).to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        chosen = page.locator('.rows [aria-selected="true"]')
        await expect(chosen).to_contain_text("Question 248")
        await server.submit("The newest")
        await expect(page.get_by_role("link", name="The newest")).to_be_visible()
        await expect(chosen).to_contain_text("Question 248")  # the keys act on the same message as before

        async def rows_are(count: int) -> None:
            await body.evaluate("(it) => { it.scrollTop = it.scrollHeight; }")
            await expect(table).to_have_attribute("aria-rowcount", str(count + 1))

        await rows_are(200)
        await rows_are(251)
        await body.evaluate("(it) => { it.scrollTop = 150 * 36; }")
        seen = page.get_by_role("link", name="Question 90", exact=True)
        await expect(seen).to_be_visible()
        place = await seen.bounding_box()
        late = await server.submit("Comes meanwhile")
        note = page.get_by_role("button", name="Show the newest")
        await expect(note).to_be_visible()
        assert await seen.bounding_box() == place

        await page.get_by_label("Select Question 90", exact=True).check()
        await page.get_by_role("button", name="Cancel 1").click()
        await page.get_by_role("button", name="Cancel them").click()
        await expect(page.get_by_role("row", name="Question 90").first).to_contain_text("cancelled")
        await expect(table).to_have_attribute("aria-rowcount", "253")  # loaded again as far as before
        await expect(seen).to_be_visible()

        await server.client.post(f"/messages/{late['message_id']}/cancel")
        await expect(note).to_be_visible()
        await note.click()
        await expect(page.get_by_role("link", name="Comes meanwhile")).to_be_visible()
        await expect(note).to_have_count(0)
        names = page.locator('.rows [role="row"] a[href^="#/message/"]')
        await expect(names.first).to_have_text("Comes meanwhile")  # elements that were used again get the list's order
        texts = await names.all_inner_texts()
        assert texts[1] == "The newest"
        numbers = [int(text.removeprefix("Question ")) for text in texts[2:]]
        assert numbers == sorted(numbers, reverse=True)
