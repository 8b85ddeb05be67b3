"""The package of the TypeScript client: its own tests, its types, what it ships, and how much a page loads."""

import json

import pytest

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
