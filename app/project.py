"""Reads a langgraph.json as LangGraph's own tool does: its graphs, the folders they import from, their environment.

Ignores fields for other parts of LangGraph's server and for the Docker image, with a warning.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from .errors import ConfigurationError
from .models.items import MAX_TTL_MINUTES, NEVER_EXPIRES, ItemTtl

APPLIED = ("$schema", "graphs", "dependencies", "env", "store")
STORE_APPLIED = ("ttl", "index")
TTL_APPLIED = ("default_ttl", "refresh_on_read", "sweep_interval_minutes")

AGENT_VERSION = re.compile(r"[!-~]{1,100}")
"""The form of a version of an agent, such as `2026.11.28` or a commit."""


@dataclass(frozen=True, slots=True)
class Project:
    """The content of a langgraph.json.

    - `graphs` has `module:attribute` or `/folder/file.py:attribute` by name.
    - `descriptions` has the descriptions that graphs were given, by name.
    - `versions` has the versions that graphs were given in their `metadata`, by name.
    - `folders` are searched for modules, in this order.
    - `environment` may have secrets.
    - `item_ttl` says when items of the store expire.
    - `warnings` are for the log.
    """

    graphs: dict[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    descriptions: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    item_ttl: ItemTtl = NEVER_EXPIRES
    warnings: tuple[str, ...] = ()


def read_project(file: Path) -> Project:
    """Read a langgraph.json, and the file named by its `env`. Raises ConfigurationError with the line."""
    try:
        text = file.read_text("utf-8-sig")
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"{file}:{error.lineno}", f"expected JSON, got text with a fault here ({error.msg})") from None
    except (OSError, ValueError) as error:
        raise _wrong(file, f"expected a langgraph.json that can be read ({type(error).__name__}: {error})") from error
    return _Reader(file, text, content).project()


def _wrong(place: object, problem: str) -> ConfigurationError:
    return ConfigurationError(f"LANGGRAPH_CONFIG: {place}: {problem}")


class _Reader:
    def __init__(self, file: Path, text: str, content: Any) -> None:
        self._file = file
        self._folder = file.resolve().parent
        self._text = text
        self._content = content
        self._warnings: list[str] = []

    def project(self) -> Project:
        if not isinstance(self._content, dict):
            raise _wrong(f"{self._file}:1", "expected an object with `graphs`")
        graphs = self._graphs()
        folders = tuple(dict.fromkeys(self._folders()))
        environment = self._environment()
        item_ttl = self._item_ttl()
        self._warn_of_ignored()
        return Project(
            graphs, folders, environment, self._descriptions(), self._versions(), item_ttl, tuple(self._warnings)
        )

    def _wrong(self, key: str, expected: str) -> ConfigurationError:
        found = re.search(rf"{re.escape(json.dumps(key))}\s*:", self._text)
        line = 1 if found is None else self._text.count("\n", 0, found.start()) + 1
        return _wrong(f"{self._file}:{line}", f"`{key}`: expected {expected}")

    def _graphs(self) -> dict[str, str]:
        graphs = self._content.get("graphs")
        if not (isinstance(graphs, dict) and graphs):
            raise self._wrong("graphs", "an object with at least one graph")
        return {name: self._path(name, spec) for name, spec in graphs.items()}

    def _descriptions(self) -> dict[str, str]:
        given = {
            name: spec.get("description") for name, spec in self._content["graphs"].items() if isinstance(spec, dict)
        }
        for name, description in given.items():
            if not isinstance(description, str | None):
                raise self._wrong(name, "a `description` that is a text")
        return {name: description for name, description in given.items() if description}

    def _versions(self) -> dict[str, str]:
        versions = {}
        for name, spec in self._content["graphs"].items():
            metadata = spec.get("metadata") if isinstance(spec, dict) else None
            if not isinstance(metadata, dict | None):
                raise self._wrong(name, "a `metadata` that is an object")
            if metadata and "version" in metadata:
                version = versions[name] = metadata["version"]
                if not (isinstance(version, str) and AGENT_VERSION.fullmatch(version)):
                    raise self._wrong(name, "a `version` of 1 to 100 printable ASCII characters without spaces")
        return versions

    def _path(self, name: str, spec: object) -> str:
        path = spec.get("path") if isinstance(spec, dict) else spec
        module, colon, attribute = path.rpartition(":") if isinstance(path, str) else ("", "", "")
        if not (module and colon and attribute):
            raise self._wrong(name, "'./file.py:attribute' or 'module:attribute', or an object with such a `path`")
        if module.endswith(".py") or "/" in module:
            return f"{(self._folder / module).resolve()}:{attribute}"
        return f"{module}:{attribute}"

    def _folders(self) -> Iterator[Path]:
        dependencies = self._content.get("dependencies") or []
        if not (isinstance(dependencies, list) and all(isinstance(each, str) for each in dependencies)):
            raise self._wrong("dependencies", "a list of folders and names of packages")
        for dependency in dependencies:
            folder = (self._folder / dependency).resolve()
            if folder.is_dir():
                yield from _import_folders(folder)
            elif dependency.startswith((".", "/")):
                raise self._wrong("dependencies", f"folders that exist, got {dependency!r}")
            elif not _is_installed(dependency):
                self._warnings.append(f"it needs a package that is not installed: {dependency}")
        yield self._folder

    def _environment(self) -> dict[str, str]:
        given = self._content.get("env") or {}
        if isinstance(given, dict) and all(map(_is_variable, given.items())):
            return {name: str(value) for name, value in given.items()}
        if isinstance(given, list) and all(isinstance(each, str) for each in given):
            return {}  # the list has names only; the values are in the environment
        if not isinstance(given, str):
            raise self._wrong("env", "the path of a file, or an object of names and texts")
        file = self._folder / given
        if not file.is_file():
            self._warnings.append(f"its `env` names a file that is not there: {given}")
            return {}
        try:
            return {name: value for name, value in dotenv_values(file).items() if value is not None}
        except (OSError, ValueError):
            raise self._wrong("env", "a file of NAME=value lines in UTF-8") from None

    def _item_ttl(self) -> ItemTtl:
        store = self._content.get("store") or {}
        if not isinstance(store, dict):
            raise self._wrong("store", "an object with `ttl`")
        ttl = store.get("ttl") or {}
        if not isinstance(ttl, dict):
            raise self._wrong("ttl", "an object with `default_ttl` or `refresh_on_read`")
        minutes, refresh = ttl.get("default_ttl"), ttl.get("refresh_on_read", True)
        if minutes is not None and not _is_ttl(minutes):
            raise self._wrong("default_ttl", f"minutes above 0, at most {MAX_TTL_MINUTES}")
        if not isinstance(refresh, bool):
            raise self._wrong("refresh_on_read", "true or false")
        if store.get("index"):
            self._warnings.append(
                "its `store.index` has no effect: the store has no semantic search. Compile a graph with a store of "
                "its own for that"
            )
        return ItemTtl(None if minutes is None else float(minutes), refresh)

    def _warn_of_ignored(self) -> None:
        ignored = [name for name, value in self._content.items() if name not in APPLIED and value]
        store = self._content.get("store") or {}
        ignored += [f"store.{name}" for name, value in store.items() if name not in STORE_APPLIED and value]
        ttl = store.get("ttl") or {}
        ignored += [f"store.ttl.{name}" for name, value in ttl.items() if name not in TTL_APPLIED and value]
        ignored += [
            f"graphs.{name}.{each}"
            for name, spec in self._content["graphs"].items()
            if isinstance(spec, dict)
            for each, value in spec.items()
            if each not in ("path", "description", "metadata") and value
        ]
        ignored += [
            f"graphs.{name}.metadata.{each}"
            for name, spec in self._content["graphs"].items()
            if isinstance(spec, dict)
            for each in spec.get("metadata") or ()
            if each != "version"
        ]
        if ignored:
            self._warnings.append(f"fields that have no effect here: {', '.join(ignored)}")


def _import_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders from which the packages of a local dependency are importable."""
    yield folder
    for inner in ("src", *_declared_folders(folder / "pyproject.toml")):
        if (folder / inner).is_dir():
            yield (folder / inner).resolve()
    if (folder / "__init__.py").is_file():
        yield folder.parent


def _declared_folders(pyproject: Path) -> list[str]:
    """Return the folders of packages that a pyproject.toml declares."""
    try:
        tool = tomllib.loads(pyproject.read_text("utf-8"))["tool"]
        setuptools, hatch = tool.get("setuptools", {}), tool.get("hatch", {}).get("build", {}).get("targets", {})
        packages = setuptools.get("packages", {})
        found = [setuptools.get("package-dir", {}).get("")]
        found += packages.get("find", {}).get("where", []) if isinstance(packages, dict) else []
        found += [str(Path(each).parent) for each in hatch.get("wheel", {}).get("packages", [])]
        found += [each.get("from") for each in tool.get("poetry", {}).get("packages", [])]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # installing the project reports the fault
    return [each for each in found if isinstance(each, str)]


def _is_variable(item: tuple[str, object]) -> bool:
    name, value = item
    usable = bool(name) and "=" not in name and "\0" not in f"{name}{value}"
    return usable and isinstance(value, str | int | float)


def _is_ttl(minutes: object) -> bool:
    return isinstance(minutes, int | float) and not isinstance(minutes, bool) and 0 < minutes <= MAX_TTL_MINUTES


def _is_installed(requirement: str) -> bool:
    """Return whether any version of a package is installed; True if `requirement` begins with no package name."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*(?:$|[\[<>=!~;@]))", requirement)
    if name is None:
        return True
    try:
        metadata.distribution(name[0])
    except metadata.PackageNotFoundError:
        return False
    return True
