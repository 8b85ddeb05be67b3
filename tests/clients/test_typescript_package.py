"""The package of the TypeScript client: its own tests, its types, what it ships, and how much a page loads."""

import inspect
import json
import re

import pytest
from agentq_client import AgentQ

from app import __version__
from tests.node_packages import built, installed, npm
from tests.servers import ROOT

FOLDER = ROOT / "clients" / "typescript"
PACKAGE = json.loads((FOLDER / "package.json").read_text("utf-8"))


@pytest.fixture(scope="module", autouse=True)
def its_packages() -> None:
    """Install exactly what the lock file says."""
    installed(FOLDER)


def test_it_reads_every_transcript_and_passes_its_own_tests() -> None:
    output = npm(FOLDER, "test")
    assert "# fail 0" in output
    assert "# skipped 0" in output


def test_its_types_hold_and_are_those_of_the_openapi_document() -> None:
    npm(FOLDER, "run", "check")


def test_it_can_be_published_and_is_small_in_a_page() -> None:
    built(FOLDER)
    assert "All good!" in npm(FOLDER, "run", "lint:package")
    assert "bytes of at most 10000" in npm(FOLDER, "run", "size")


def test_it_needs_nothing_at_run_time() -> None:
    assert "dependencies" not in PACKAGE
    assert PACKAGE["peerDependenciesMeta"] == {"react": {"optional": True}}


def test_its_version_is_that_of_the_server() -> None:
    assert PACKAGE["version"] == __version__


def methods(source: str) -> set[str]:
    """Return the public methods of a class, as Python writes their names."""
    names = re.findall(
        r"^  (?:async )?\*?(\w+)(?:<\w+>)?\(", re.sub(r"/\*\* @internal \*/\n.*", "", source), re.MULTILINE
    )
    return {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in names} - {"constructor"}


def public(owner: object, *hidden: str) -> set[str]:
    """Return the methods of a Python object that users call."""
    found = inspect.getmembers(owner, inspect.ismethod)
    return {name for name, _ in found if not name.startswith("_")} - set(hidden)


def test_its_methods_are_those_of_the_python_client() -> None:
    sources = FOLDER / "src"
    text = "".join(
        path.read_text("utf-8") for path in (sources / "resources.ts", *(sources / "operators").glob("*.ts"))
    )
    parts = re.split(r"^export class (\w+) ", text, flags=re.MULTILINE)
    named = {name: methods(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    named["Server"] |= named["WholeServer"]
    named["Threads"] |= named["WholeThreads"]
    with AgentQ("http://queue.test") as client:
        resources = {type(part).__name__: public(part) for name, part in vars(client).items() if name[0] != "_"}
        assert {name: named[name] for name in resources} == resources
        ours = methods((sources / "client.ts").read_text("utf-8")) | methods(
            (sources / "operators.ts").read_text("utf-8")
        )
        assert ours == public(client, "close", "call", "pages", "send", "opened")
        stream = methods((sources / "stream.ts").read_text("utf-8")) - {"start"}
        assert stream == public(client.follow("m1"))
        changes = methods((sources / "operators" / "changes.ts").read_text("utf-8"))
        assert changes == public(client.changes.follow())
