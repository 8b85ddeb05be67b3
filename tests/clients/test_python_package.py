"""The package of the Python client: what it needs, what it ships, and how long its import takes."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import agentq_client
from agentq_client import models

from app import __version__
from tests.servers import ROOT

FOLDER = ROOT / "clients" / "python"
MODULES = sorted((FOLDER / "src" / "agentq_client").rglob("*.py"))
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
DO_IO = frozenset(("asyncio", "httpx", "socket", "ssl", "threading", "selectors", "http", "urllib.request"))


def imported(path: Path) -> set[str]:
    """Return the modules that a module imports, of its own package by `.`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def test_it_needs_httpx_and_pydantic_only() -> None:
    known = set(sys.stdlib_module_names) | {"httpx", "pydantic"}
    for path in MODULES:
        others = {name.partition(".")[0] for name in imported(path) if not name.startswith(".")} - known
        assert others <= {"typing_extensions"}, path  # for types only, and pydantic brings it
    assert [each.partition(">")[0] for each in PROJECT["dependencies"]] == ["httpx", "pydantic"]


def test_its_core_does_no_input_or_output() -> None:
    core = [path for path in MODULES if path.parent.name == "core"] + [FOLDER / "src" / "agentq_client" / "events.py"]
    assert len(core) > 6
    for path in core:
        assert not {name for name in imported(path) if name in DO_IO or name.endswith("transport")}, path


def test_its_version_is_that_of_the_server() -> None:
    assert agentq_client.__version__ == __version__


def test_its_wheel_has_its_types_and_its_licence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    ours = {f"agentq_client/{path.relative_to(FOLDER / 'src' / 'agentq_client')}" for path in MODULES}
    assert {name for name in names if name.startswith("agentq_client/")} == ours | {"agentq_client/py.typed"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_its_import_loads_no_http_library() -> None:
    """httpx and asyncio are most of the time of an import, and are loaded with the first client.

    What is for asyncio alone is loaded when it is named, and so are most models.
    """
    code = "import sys, agentq_client; print(*sys.modules)"
    environment = {"PYTHONPATH": str(FOLDER / "src")}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert "agentq_client.transport" in found
    assert not {"httpx", "asyncio", "app"} & set(found)
    late = ("agentq_client.async_", "agentq_client.resources", "agentq_client.models.server")
    assert not [name for name in found if name.startswith(late)]


def test_it_has_what_it_names_and_nothing_else() -> None:
    assert [name for name in agentq_client.__all__ if not hasattr(agentq_client, name)] == []
    assert [name for name in models.__all__ if not issubclass(getattr(models, name), models.Model)] == []
    assert not hasattr(agentq_client, "AsyncQueue")
    assert not hasattr(models, "datetime")


def test_its_modules_stay_small() -> None:
    assert MODULES
    for path in MODULES:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 400, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 60, (path.name, node.name)
