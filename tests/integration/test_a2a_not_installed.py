"""A server without the package of A2A serves all else, and tells what to install."""

import sys

import pytest

from tests import wire
from tests.integration.conftest import Serve
from tests.surfaces import check_refused


async def test_a_server_without_the_package_tells_how_to_install_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == "a2a" or name.startswith(("a2a.", "app.protocols.a2a."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "a2a", None)
    server = await serve(worker_concurrency=0)
    json = {"Content-Type": "application/json"}
    called = await wire.request(server.url, "POST", "/a2a/chat", headers=json, body=b"{}")
    card = await wire.request(server.url, "GET", "/a2a/chat/.well-known/agent-card.json")
    for response in (called, card):
        assert "pip install 'agent-queue-system[a2a]'" in check_refused(response, "/a2a", 501, "")
    await server.submit()
