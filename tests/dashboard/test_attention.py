"""The screen of what needs a person, in a browser: questions of agents, and failures by their kind."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Page, Request, Route, expect

from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.dashboard.sample_agents import AGENTS
from tests.servers import DEADLINE_SECONDS, live_server, settings_for, until

HOSTILE = "<img src=x onerror=alert(1)> ![x](https://evil.example/?q=1) " + "long" * 60

NOTE_PLANS = """
  window.plans = []; // when loads that are planned two seconds ahead are due
  const original = setTimeout;
  window.setTimeout = (handler, delay, ...others) => {
    if (delay === 2000) plans.push(Date.now() + delay);
    return original(handler, delay, ...others);
  };
"""


def pending_requests(page: Page) -> set[Request]:
    """The page's requests that have not ended, except streams of changes; those that begin from now on."""
    pending: set[Request] = set()

    def began(request: Request) -> None:
        if "/events" not in request.url:
            pending.add(request)

    def ended(request: Request) -> None:
        pending.discard(request)

    page.on("request", began)
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    return pending


async def test_questions_are_answered_and_failures_retried_by_their_kind(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, worker_concurrency=2, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one, color_scheme="dark") as page:
        asked = await server.submit("Book two seats", agent="booking")
        await server.submit(HOSTILE, agent="booking")
        good = await server.submit("Trains from Zurich to Milan", agent="timetable")
        await server.ended(good["message_id"])
        failed = [
            await server.submit(f"Trains from Zurich to Atlantis {number}", agent="timetable") for number in range(3)
        ]
        for each in failed:
            await server.ended(each["message_id"])
        pending = pending_requests(page)
        await page.goto(f"{server.url}/dashboard/#/pulse")
        await page.get_by_role("link", name=re.compile("Needs a person *, 5 messages")).click()

        form = page.get_by_role("form", name="Answer to Book two seats")
        await form.get_by_label("Class").select_option("second")
        await page.reload()  # loses nothing
        await expect(form.get_by_label("Class")).to_have_value('"second"')
        assert await faults_of_access(page) == []
        await form.get_by_role("button", name="Send the answer").click()
        await expect(form).to_have_count(0)
        ended = await server.ended(asked["message_id"])
        assert ended["result"] == "Booked: {'seats': 2, 'class': 'second'}"

        group = page.get_by_role("article").filter(has_text="the timetable did not answer")
        await expect(group).to_contain_text("3 messages")
        await expect(group).to_contain_text("agent timetable")
        await group.get_by_role("button", name="Compare").click()
        await expect(group.locator("mark").first).to_have_text("Atlantis 2")
        await expect(group.get_by_label("Traceback")).to_contain_text("TimeoutError")
        await expect(group.get_by_label("Its answer")).to_contain_text("Two trains go")
        assert await faults_of_access(page) == []

        await page.get_by_role("button", name="live").click()  # what is shown grows old

        async def is_idle() -> bool:
            return not pending

        await until(is_idle, "what is loaded already is there")
        await server.client.post("/dead-letters/purge", json={"message_ids": [failed[0]["message_id"]]})
        await group.get_by_role("button", name="Retry 3").click()
        await page.get_by_role("button", name="Retry them").click()
        await expect(page.get_by_role("status")).to_contain_text("selects 2 messages, not 3")
        await group.get_by_role("button", name="Retry 2").click()
        await page.get_by_role("button", name="Retry them").click()
        await expect(page.get_by_role("status")).to_contain_text("2 messages queued again")

        async def have_failed_again() -> bool:
            shown = (await server.client.get("/dead-letters")).json()["dead_letters"]
            return len(shown) == 2

        await until(have_failed_again, "both have failed again")


async def test_nothing_is_loaded_again_while_updates_are_held(tmp_path: Path) -> None:
    """A question that was opened is about what was seen, whatever was planned to be loaded before."""
    settings = settings_for(tmp_path, agents=AGENTS, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        failed = [await server.submit(f"Trains to Atlantis {number}", agent="timetable") for number in range(3)]
        for each in failed:
            await server.ended(each["message_id"])
        loads: list[str] = []
        page.on("request", lambda request: loads.append(request.url.removeprefix(server.url).partition("?")[0]))
        pending = pending_requests(page)
        await page.clock.install()
        await page.add_init_script(NOTE_PLANS)
        await page.goto(f"{server.url}/dashboard/#/attention")
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        await expect(page.get_by_role("button", name="Retry 3")).to_be_visible()
        await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))

        async def is_quiet() -> bool:
            await page.clock.run_for(100)
            return await page.evaluate("plans.every((due) => due <= Date.now())") and not pending

        async def is_planned() -> bool:
            await page.clock.run_for(20)
            return bool(await page.evaluate("plans.some((due) => due > Date.now() + 1000)"))

        await until(is_quiet, "what was planned at the start is loaded")
        await server.client.post("/dead-letters/purge", json={"message_ids": [failed[0]["message_id"]]})
        await until(is_planned, "a load is planned for the change")
        loads.clear()
        await page.get_by_role("button", name="Retry 3").click()
        await page.clock.run_for(3_000)
        await expect(page.get_by_role("heading", name="Retry 3 messages?")).to_be_visible()
        assert "/dead-letters/groups" not in loads
        await page.clock.resume()
        await page.get_by_role("button", name="Keep as it is").click()
        await expect(page.get_by_role("button", name="Retry 2")).to_be_visible()


async def test_a_question_about_the_queue_stays_though_another_one_answers_it(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server, browser() as one, page_of(one) as page:
        await page.clock.install()
        await page.goto(f"{server.url}/dashboard/#/pulse")
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        async with page.expect_event("requestfailed"):  # the stream of changes is left while updates are held
            await page.get_by_role("button", name="Pause the queue").click()
        loads: list[str] = []
        page.on("request", lambda request: loads.append(request.url))
        await server.client.post("/queue/pause")
        await page.clock.fast_forward(60_000)
        await expect(page.get_by_role("heading", name="Pause the queue?")).to_be_visible()
        assert loads == []
        await page.get_by_role("button", name="Keep as it is").click()
        await expect(page.get_by_role("button", name="Resume the queue")).to_be_visible()


async def test_a_question_about_the_queue_stays_though_a_load_that_was_on_its_way_comes(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server, browser() as one, page_of(one) as page:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer_later(route: Route) -> None:
            asked.set()
            await may_answer.wait()
            await route.continue_()

        await page.clock.install()
        await page.goto(f"{server.url}/dashboard/#/pulse")
        switch = page.locator(".actions > button")
        await expect(switch).to_have_text("Pause the queue")
        await page.route(re.compile("/queue[?]"), answer_later)
        await page.clock.fast_forward(60_000)
        await asyncio.wait_for(asked.wait(), DEADLINE_SECONDS)
        await switch.click()
        await server.client.post("/queue/pause")
        may_answer.set()
        await expect(switch).to_have_text("Resume the queue")
        await page.get_by_role("dialog", name="Pause the queue?").get_by_role("button", name="Pause the queue").click()
        await expect(page.get_by_role("status")).to_contain_text(["The queue is paused."])


async def test_only_changes_that_concern_it_load_the_number_again(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, agents=AGENTS, max_attempts=1)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        loads: list[str] = []
        page.on("request", lambda request: loads.append(request.url))
        await page.clock.install()
        await page.goto(f"{server.url}/dashboard/#/pulse")
        await expect(page.locator("[data-part=figures]")).to_be_visible()

        async def figures_came() -> bool:
            """Figures are loaded later after a change than the number would be."""
            await page.clock.fast_forward(1_000)
            return any("/stats?since=" in each for each in loads)

        for city in ("Basel", "Zurich"):
            loads.clear()  # the first time, the page loads all again for the begin of the changes
            done = await server.submit(f"Trains from {city} to Milan", agent="timetable")
            await server.ended(done["message_id"])
            await until(figures_came, "the figures are loaded again")
        assert f"{server.url}/stats" not in loads
        asked = await server.submit("Book two seats", agent="booking")
        number = page.get_by_role("link", name=re.compile("Needs a person *, 1 message"))
        await expect(number).to_be_visible()
        # The answer and the next attempt come together: the page sees the last of several changes.
        answered = await server.client.post(f"/messages/{asked['message_id']}/resume", json={"value": 2})
        assert answered.is_success, answered.text
        await expect(number).to_have_count(0)
