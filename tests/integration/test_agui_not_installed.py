"""A server without the package of AG-UI serves all else, and tells what to install."""

import subprocess
import sys

import pytest

from tests import wire
from tests.integration.conftest import Serve
from tests.servers import ROOT
from tests.surfaces import check_refused

LIGHT = frozenset(
    {"app.protocols.agui", *(f"app.protocols.agui.{name}" for name in ("endpoints", "errors", "routing"))}
)
"""The modules that a server imports when it starts."""


async def test_a_server_without_the_package_tells_how_to_install_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("ag_ui.", "app.protocols.agui")) and name not in LIGHT
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ag_ui", None)
    server = await serve(worker_concurrency=0)
    for method in ("POST", "GET"):
        response = await wire.request(server.url, method, "/agui/chat")
        told = check_refused(response, "/agui", 501, "")
        assert "pip install 'agent-queue-system[agui]'" in told
    stopped = await wire.request(server.url, "POST", "/agui/chat/t/stop")
    assert stopped.status == 204
    await server.submit()


def test_a_start_does_not_import_the_package() -> None:
    code = "import sys, app.main; print([name for name in sys.modules if name.partition('.')[0] == 'ag_ui'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
