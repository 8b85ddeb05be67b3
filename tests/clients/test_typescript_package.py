"""The package of the TypeScript client: its own tests, its types, what it ships, and how much a page loads."""

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
    names = re.findall(r"^  (?:async )?(\w+)(?:<\w+>)?\(", re.sub(r"/\*\* @internal \*/\n.*", "", source), re.MULTILINE)
    return {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in names} - {"constructor"}


def test_its_methods_are_those_of_the_python_client() -> None:
    sources = FOLDER / "src"
    parts = re.split(
        r"^export class (\w+) extends Part", (sources / "resources.ts").read_text("utf-8"), flags=re.MULTILINE
    )
    named = {name: methods(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    with AgentQ("http://queue.test") as client:
        resources = {type(part).__name__: set(dir(part)) for part in vars(client).values()}
        assert methods((sources / "client.ts").read_text("utf-8")) <= set(dir(client))
        stream = (sources / "stream.ts").read_text("utf-8")
        assert methods(stream) - {"start"} <= set(dir(client.follow("m1")))
    assert len(named) == 9
    assert {name: sorted(each - resources[name]) for name, each in named.items()} == {name: [] for name in named}
