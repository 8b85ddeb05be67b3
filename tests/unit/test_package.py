"""The installed package: its licences, its files, and texts that hold without the checkout."""

import ast
import re
import tomllib
from functools import cache
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from app import __version__
from app.cli.commands import COMMANDS
from app.cli.main import execute
from app.cli.terminal import Terminal
from app.config import Settings
from tests.dashboard.vendored import FILES, VENDOR, licence_of
from tests.documents import openapi, websocket_schema

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TARGETS = "|".join(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
OF_THE_CHECKOUT = re.compile(
    r"README|CHANGELOG|CONTRIBUTING|SECURITY\.md|Makefile|Dockerfile|requirements[\w-]*\.txt|uv\.lock"
    r"|compose\.yaml|nginx\.conf|\.env\.example|\.venv|\b(?:docs|deploy|examples|config|tests|bench)/\w|\buv sync\b"
    rf"|\bmake (?:{TARGETS})\b"
)


class Faults(NamedTuple):
    """Faults of a module. `texts` name files of the checkout, `imports` are lines that name this package."""

    texts: list[str]
    imports: list[int]


@cache
def faults() -> dict[str, Faults]:
    """Return the faults of each module. Two tests share this walk, which takes seconds."""
    modules = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "app").rglob("*.py"))}
    assert len(modules) > 100
    return {name: faults_of(list(ast.walk(ast.parse(text)))) for name, text in modules.items()}


def faults_of(nodes: list[ast.AST]) -> Faults:
    """Return the faults of a module. Docstrings may name files of the checkout."""
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]
    imports = [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "app")
        or (isinstance(node, ast.Import) and any(each.name.split(".")[0] == "app" for each in node.names))
    ]
    return Faults([text for text in texts if OF_THE_CHECKOUT.search(text)], imports)


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Return the help of a command."""
    assert execute([*command, "--help"], Terminal(StringIO(), StringIO(), StringIO())) == 0
    return capsys.readouterr().out


def test_its_licence_and_its_notice_go_with_it() -> None:
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]
    assert all((ROOT / name).read_text("utf-8") for name in PROJECT["project"]["license-files"])


def test_it_ships_nothing_of_others_without_its_licence() -> None:
    """A file of another kind, such as a script for browsers, may need a licence of its own in the package."""
    own = [path for path in (ROOT / "app").rglob("*") if path.is_file() and VENDOR not in path.parents]
    kinds = {path.suffix for path in own}
    assert kinds - {".pyc"} == {
        ".py",
        ".sql",
        ".lua",
        ".json",
        ".toml",
        ".tmpl",
        ".typed",
        ".html",
        ".css",
        ".js",
        ".svg",
    }
    for source in FILES.values():
        assert (VENDOR / "licences" / f"{licence_of(source.package)}.txt").is_file()


def test_its_texts_name_no_file_of_the_checkout() -> None:
    assert {name: found.texts for name, found in faults().items() if found.texts} == {}


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


def test_each_command_has_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command, entry in COMMANDS.items():
        told = " ".join(help_of(capsys, command).split())
        assert told.startswith(f"Usage: agentq {command} ")
        assert len(entry.about) > 10, command


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
    assert (
        "agent-queue-system[a2a,agui,mcp,postgres,redis,telemetry]"
        in PROJECT["project"]["optional-dependencies"]["dev"]
    )


def test_its_modules_import_each_other_relatively() -> None:
    """A wheel may have the same code under another name."""
    assert {name: found.imports for name, found in faults().items() if found.imports} == {}


def test_its_version_is_that_of_the_deployment() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert f"newTag: {__version__}\n" in (ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text("utf-8")
