"""Installed packages are locked to their bytes, free of known faults, and without code that runs at each start."""

import base64
import hashlib
import json
import re
import site
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted(ROOT.glob("requirements*.txt"))
NPM_FOLDERS = ("tests/oldest_servers", "examples/typescript-client", "clients/typescript")
NPM_LOCKS = [ROOT / folder / "package-lock.json" for folder in NPM_FOLDERS]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ADVISORIES = tomllib.loads((ROOT / ".ci" / "advisories.toml").read_text("utf-8"))

STARTERS = {"a1_coverage.pth": "coverage", "distutils-precedence.pth": "setuptools"}
"""Files whose lines Python executes at each start, and the packages that they belong to."""

OF_UV = ("_virtualenv.pth", "import _virtualenv")
"""The file that uv writes into its environments, and its content."""

locks = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)


def requirements_in(lock: Path) -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement of a lock with its options. Fails at any other line."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        named, *options = re.split(r"\s+(?=--)", line.strip())
        yield Requirement(named), options


def test_every_lock_is_looked_at() -> None:
    assert [path.name for path in LOCKS] == [
        "requirements-dev.txt",
        "requirements-model.txt",
        "requirements-oldest.txt",
        "requirements.txt",
    ]


@locks
def test_every_line_of_a_lock_is_one_version_with_the_hashes_of_its_files(lock: Path) -> None:
    """pip then refuses files with other bytes, wherever they come from, and packages that are not in the lock."""
    found = list(requirements_in(lock))
    assert found
    for requirement, options in found:
        assert requirement.url is None, requirement
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert options, f"{requirement} has no hash"
        for option in options:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option), f"{requirement}: {option}"


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=NPM_FOLDERS)
def test_every_package_of_a_javascript_lock_has_a_hash(lock: Path) -> None:
    packages = json.loads(lock.read_text("utf-8"))["packages"]
    assert [name for name, package in packages.items() if name and not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == [], "locks name no place"


def test_the_runtime_is_a_part_of_what_is_tested() -> None:
    tested = {str(requirement) for requirement, _ in requirements_in(ROOT / "requirements-dev.txt")}
    for name in ("requirements.txt", "requirements-model.txt"):
        assert {str(requirement) for requirement, _ in requirements_in(ROOT / name)} <= tested


@locks
def test_no_lock_has_a_version_with_a_known_fault(lock: Path) -> None:
    for requirement, _ in requirements_in(lock):
        (specifier,) = requirement.specifier
        advisory = ADVISORIES.get(canonicalize_name(requirement.name))
        if advisory is not None:
            assert Version(specifier.version) >= Version(advisory["version"]), f"{requirement}: {advisory}"


def test_no_dependency_may_be_older_than_a_known_fix() -> None:
    """The package is installed without our locks too."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    for text in (*project["dependencies"], *(each for extra in extras for each in extra)):
        requirement = Requirement(text)
        advisory = ADVISORIES.get(canonicalize_name(requirement.name))
        if advisory is not None:
            (minimum,) = [each.version for each in requirement.specifier if each.operator == ">="]
            assert Version(minimum) >= Version(advisory["version"]), f"{text}: {advisory}"


def test_every_advisory_is_about_a_package_that_we_have() -> None:
    locked = {canonicalize_name(requirement.name) for lock in LOCKS for requirement, _ in requirements_in(lock)}
    assert ADVISORIES.keys() <= locked
    for name, advisory in ADVISORIES.items():
        assert advisory.keys() == {"version", "advisories"}, name
        assert advisory["advisories"], name


def test_nothing_parses_forms() -> None:
    """Starlette's parser of forms had many faults. Without this package it has none."""
    locked = {canonicalize_name(each.name) for each, _ in requirements_in(ROOT / "requirements.txt")}
    assert "python-multipart" not in locked


# Code that Python runs at each start


def starting_files() -> list[Path]:
    """The files in the environment that Python reads at each start and may execute."""
    places = [Path(place) for place in (*site.getsitepackages(), site.getusersitepackages())]
    names = ("*.pth", "sitecustomize.py", "usercustomize.py")
    return [path for place in places for name in names for path in place.glob(name)]


def is_known(path: Path) -> bool:
    """Whether a file belongs to a package of the allow-list as that was installed, or only names folders."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    if path.suffix == ".pth" and not any(line.startswith(("import ", "import\t")) for line in lines):
        return True
    if (path.name, "\n".join(lines)) == OF_UV:
        return True
    owner = STARTERS.get(path.name)
    if owner is None:
        return False
    (recorded,) = [each for each in metadata.distribution(owner).files or () if each.name == path.name]
    assert recorded.hash is not None
    assert recorded.hash.mode == "sha256"
    digest = hashlib.sha256(path.read_bytes()).digest()
    return recorded.hash.value == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_only_known_files_run_at_each_start() -> None:
    """A file that ends with `.pth` is the usual hiding place of a stolen package: it runs without being imported."""
    assert [str(path) for path in starting_files() if not is_known(path)] == []


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("ours.pth", "/srv/agents\n", True),
        ("ours.pth", "# import os\n/srv/agents\n", True),
        ("evil.pth", "import os; os.system('true')\n", False),
        ("evil.pth", "/srv/agents\nimport\tos\n", False),
        ("a1_coverage.pth", "import os; os.system('true')\n", False),
        ("_virtualenv.pth", "import _virtualenv", True),
        ("_virtualenv.pth", "import _virtualenv; import os", False),
        ("sitecustomize.py", "import os\n", False),
        ("sitecustomize.py", "print()\n", False),
    ],
)
def test_other_files_are_found_out(tmp_path: Path, name: str, content: str, known: bool) -> None:
    (tmp_path / name).write_text(content)
    assert is_known(tmp_path / name) is known
