"""A real Chromium for tests of the dashboard: the one of the system, or else the one that npm brings."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.dashboard.vendored import FOLDER
from tests.node_packages import DEADLINE_SECONDS, installed, node

AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"

DEADLINE_MS = 15_000
"""How long a test waits for what it expects on a page."""

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

UNPACK = "import('@sparticuz/chromium').then(async (it) => console.log(await it.default.executablePath()))"


@cache
def chromium() -> str:
    """Return the path of the browser. That of npm is unpacked first, with the libraries that it needs."""
    for name in (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    installed(FOLDER)
    # The name of a place whose libraries are unpacked too.
    environment = {**os.environ, "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
    done = subprocess.run(
        [node(), "-e", UNPACK],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    return done.stdout.strip()


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser that ends with the block."""
    expect.set_options(timeout=DEADLINE_MS)
    path = chromium()
    libraries = Path(path).parent / "al2023" / "lib"
    environment: dict[str, str | float | bool] = dict(os.environ)
    if libraries.is_dir():
        environment["LD_LIBRARY_PATH"] = str(libraries)
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=path, args=list(OPTIONS), env=environment)
        try:
            yield one
        finally:
            await one.close()


@contextlib.asynccontextmanager
async def page_of(one: Browser, *, is_cut_off: bool = False, **context: Any) -> AsyncIterator[Page]:
    """A page in a context of its own. Fails at the end if the page logged an error or asked another server.

    With `is_cut_off`, connections that fail are no fault: the test kills the server.
    """
    given = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **context}
    opened = await one.new_context(**given)
    opened.set_default_timeout(DEADLINE_MS)
    expect.set_options(timeout=DEADLINE_MS)
    page = await opened.new_page()
    faults: list[str] = []
    hosts: set[str] = set()

    def look(message: ConsoleMessage) -> None:
        if is_cut_off and "net::ERR_" in message.text:
            return
        if "Content Security Policy" in message.text and "dompurify" in message.location["url"]:
            return  # styles of a hostile text, while they are taken out
        if message.type in {"error", "warning"} and "status of 4" not in message.text:  # a refusal, which is shown
            faults.append(f"{message.text} {message.location}")

    page.on("console", look)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    try:
        yield page
        assert not faults, faults
        assert len(hosts) <= 1, hosts
    finally:
        await opened.close()


async def faults_of_access(page: Page) -> list[str]:
    """Faults that axe finds on the page as it is, for people who cannot see it or use no pointer."""
    installed(FOLDER)
    # A script of the page is refused by its policy, one of the debugger is not.
    await page.evaluate(AXE.read_text())
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = await page.evaluate("(options) => axe.run(document, options)", rules)
    return [f"{each['id']}: {node['html'][:160]}" for each in found["violations"] for node in each["nodes"]]
