"""A server without the package of AG-UI serves all else, and tells what to install."""

import importlib
import sys

import pytest

import app.protocols
from tests import wire
from tests.integration.conftest import Serve
from tests.surfaces import check_refused


async def test_a_server_without_the_package_tells_how_to_install_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [surface for surface in app.protocols.SURFACES if surface.prefix != "/agui"]
    monkeypatch.setattr(app.protocols, "agui", app.protocols.agui)  # so that the next import does not stay
    for name in [name for name in sys.modules if name.startswith("app.protocols.agui")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ag_ui", None)
    monkeypatch.setattr("app.main.SURFACES", (*others, importlib.import_module("app.protocols.agui").SURFACE))
    server = await serve(worker_concurrency=0)
    for method in ("POST", "GET"):
        response = await wire.request(server.url, method, "/agui/chat")
        told = check_refused(response, "/agui", 501, "")
        assert "pip install 'agent-queue-system[agui]'" in told
    await server.submit()
