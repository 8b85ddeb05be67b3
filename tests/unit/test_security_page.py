"""SECURITY.md names the tests that hold what it promises."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HEADS = ("Threat", "Guard")
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
THREATS, GUARDS = (
    [
        row
        for line in part.splitlines()
        if line.startswith("| ") and (row := line.strip("| ").split(" | "))[0] not in HEADS
    ]
    for part in TEXT.split("\n## Guards of keys", 1)
)


def names_of_tests() -> set[str]:
    """The names of all test functions."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_named_test_exists() -> None:
    named = {name for row in (*THREATS, *GUARDS) for name in re.findall(r"`(test_\w+)`", row[-1])}
    assert len(named) > 60
    assert named - names_of_tests() == set()


def test_every_protection_names_its_tests() -> None:
    assert THREATS
    assert GUARDS
    for rows, columns in ((THREATS, 3), (GUARDS, 2)):
        for row in rows:
            assert len(row) == columns, row
            assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", row[-1]), row


def test_every_named_file_exists() -> None:
    named = re.findall(r"`((?:tests|app|\.ci)/[\w./]+)`", TEXT)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
