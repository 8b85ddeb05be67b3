"""Operators see the settings of a server over HTTP."""

from tests.integration.conftest import Serve
from tests.servers import LiveServer


async def test_the_settings_of_a_server_are_shown(quiet: LiveServer) -> None:
    reply = await quiet.client.get("/settings")
    assert reply.status_code == 200, reply.text
    shown = {each["name"]: each for each in reply.json()["settings"]}
    workers = shown["WORKER_CONCURRENCY"]
    assert (workers["value"], workers["default"], workers["differs"], workers["masked"]) == (0, 1, True, False)
    assert workers["meaning"].startswith("Messages that this process runs at a time.")


async def test_pages_are_told_to_hide_texts_only_if_the_setting_says_so(serve: Serve, quiet: LiveServer) -> None:
    hiding = await serve(worker_concurrency=0, hide_payloads=True)
    assert (await hiding.client.get("/session")).json()["hide_payloads"] is True
    assert (await quiet.client.get("/session")).json()["hide_payloads"] is False
