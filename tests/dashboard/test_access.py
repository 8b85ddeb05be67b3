"""Signing in, the keys and the audit log in a browser."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from app.access.scopes import AccessScope
from tests.dashboard.browser import browser, faults_of_access, page_of
from tests.integration.test_keys import bearer, issue
from tests.servers import live_server, settings_for

HOSTILE = "<img src=x onerror=alert(1)>" + "long" * 50


async def sign_in(page: Page, credential: str) -> None:
    await page.get_by_label("API key or token").fill(credential)
    await page.get_by_role("button", name="Sign in").click()


async def test_the_first_key_is_made_used_rotated_and_revoked(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server, browser() as one, page_of(one) as page:
        await page.goto(f"{server.url}/dashboard/#/access")
        await expect(page.get_by_role("heading", name="No keys yet")).to_be_visible()
        await page.keyboard.press("n")
        await expect(page.get_by_text("This is the first key.")).to_be_visible()
        await page.get_by_label("Name").fill(HOSTILE)
        await page.get_by_role("button", name="Make the key").click()

        secret = page.get_by_label("The key", exact=True)  # shown, though the page needs the key from now on
        await expect(secret).to_have_text(re.compile("^aq_"))
        first = await secret.inner_text()
        await expect(page.get_by_label("API key or token")).to_have_count(0)
        await page.get_by_role("button", name="I have stored it").click()
        await page.reload()
        await sign_in(page, "aq_wrong")
        await expect(page.locator("#sign-in-problem")).to_contain_text("key")
        await sign_in(page, first)
        row = page.get_by_role("row").filter(has_text=HOSTILE)
        await expect(row).to_contain_text("in use")
        assert first not in await page.content()
        assert await faults_of_access(page) == []

        await row.get_by_role("button", name=re.compile("^Rotate")).click()
        await page.get_by_role("button", name="Rotate the key").click()
        await expect(secret).to_have_text(re.compile("^aq_"))
        second = await secret.inner_text()
        assert second != first
        await page.get_by_role("button", name="I have stored it").click()

        viewer = await issue(server, AccessScope.READ, tenant="other")
        await page.reload()
        await page.get_by_role("button", name="Revoke test").click()
        await page.get_by_role("button", name="Revoke the key").click()
        await expect(page.get_by_role("row").filter(has_text="other")).to_contain_text("revoked")
        assert (await server.client.get("/queue", headers=bearer(viewer))).status_code == 401

        await page.get_by_role("link", name="Audit log").click()
        await page.get_by_label("Action").fill("key.revoke")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(r"audit\?action=key.revoke$"))
        await expect(page.get_by_role("row")).to_have_count(2)
        await expect(page.get_by_role("row").last).to_contain_text("other")
        assert await faults_of_access(page) == []
        await page.get_by_label("Action").fill("no such action")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("action")


async def test_a_viewer_sees_their_tenant_and_why_they_cannot_act(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as server, browser() as one, page_of(one) as page:
        viewer = await issue(server, AccessScope.READ, tenant="one")
        for tenant in ("one", "two"):
            writer = await issue(server, AccessScope.SUBMIT, tenant=tenant)
            sent = {"message": f"Secret of {tenant}"}
            await server.client.post("/messages", json=sent, headers=bearer(writer))
        await page.goto(f"{server.url}/dashboard/#/messages")
        await sign_in(page, viewer.text)
        await expect(page.get_by_role("link", name="Secret of one")).to_be_visible()
        await expect(page.get_by_text("Secret of two")).to_have_count(0)
        await expect(page.get_by_text("viewer")).to_be_visible()
        await expect(page.get_by_role("link", name="Access")).to_have_count(0)

        await page.get_by_label("Select Secret of one").check()
        await expect(page.get_by_role("button", name="Cancel 1")).to_be_disabled()
        await expect(page.get_by_text("Actions need the scope control.")).to_be_visible()
        await page.goto(f"{server.url}/dashboard/#/access")
        await expect(page.get_by_role("alert")).to_contain_text("needs the scope admin")

        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("API key or token")).to_be_visible()


async def test_what_was_typed_outlives_the_end_of_the_session(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server, browser() as one, page_of(one) as page:
        admin = await issue(server)
        spare = await issue(server)
        await page.goto(f"{server.url}/dashboard/#/access")
        await sign_in(page, admin.text)
        await page.get_by_role("button", name="Make a key").click()
        await page.get_by_label("Name").fill("For the night shift")
        assert (await server.client.post(f"/keys/{admin.key.id}/revoke", headers=bearer(spare))).status_code == 200
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.get_by_text("Your session has ended.")).to_be_visible()
        await sign_in(page, spare.text)
        await expect(page.get_by_label("API key or token")).to_have_count(0)
        await expect(page.get_by_label("Name")).to_have_value("For the night shift")
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.get_by_label("The key", exact=True)).to_be_visible()
