"""The table of surfaces says what tests hold."""

import re

import pytest

from app.protocols import SURFACES as SERVED
from tests.pages import DOCS, ROOT
from tests.surface_table import SURFACES, TABLE, lines

PAGE = DOCS / "reference" / "surfaces.md"


def test_the_page_has_the_table() -> None:
    assert [line for line in PAGE.read_text().splitlines() if line.startswith("|")][: len(lines())] == lines()


def test_each_surface_has_a_column() -> None:
    assert len(SURFACES) == 1 + len(SERVED)
    assert all(len(cells) == len(SURFACES) for cells in TABLE.values())


@pytest.mark.parametrize("row", TABLE)
def test_each_cell_names_a_test_that_is_there(row: str) -> None:
    for surface, cell in zip(SURFACES, TABLE[row], strict=True):
        file, _, name = cell.test.partition("::")
        code = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^(async )?def {re.escape(name)}\(", code, re.MULTILINE), (surface, cell)
