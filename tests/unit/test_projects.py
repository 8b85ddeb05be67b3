"""A langgraph.json as LangGraph's own tool reads it, and the import of the files that it names."""

import json
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.agents.import_path import hint_for, load_attribute, make_importable
from app.agents.registry import AgentRegistry
from app.config import load_settings, share_environment
from app.errors import AgentUnavailable, ConfigurationError
from app.models.items import ItemTtl
from app.project import Project, read_project
from app.startup import redactor_of
from tests.pages import DOCS, named
from tests.servers import settings_for


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Take back what was imported and put on the path, and the environment."""
    path, modules, environment = sys.path.copy(), sys.modules.copy(), dict(os.environ)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


def written(folder: Path, files: dict[str, str], **fields: Any) -> Project:
    """A project of these files and fields."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"any": "./any.py:graph"}, **fields}, indent=2))
    return read_project(folder / "langgraph.json")


async def found(project: Project, name: str = "any") -> object:
    for folder in project.folders:
        make_importable(folder)
    return await load_attribute(project.graphs[name], project.folders)


LAYOUTS: dict[str, tuple[list[str], str, dict[str, str]]] = {
    "package, absolute": (
        ["."],
        "./inner_a/graph.py",
        {
            "inner_a/__init__.py": "",
            "inner_a/nodes.py": "NODE = 1",
            "inner_a/graph.py": "from inner_a.nodes import NODE",
        },
    ),
    "package, relative": (
        ["."],
        "./inner_b/deep/graph.py",
        {
            "inner_b/__init__.py": "",
            "inner_b/nodes.py": "NODE = 1",
            "inner_b/deep/__init__.py": "",
            "inner_b/deep/graph.py": "from ..nodes import NODE",
        },
    ),
    "folder without __init__, relative": (
        ["."],
        "./inner_c/graph.py",
        {"inner_c/nodes.py": "NODE = 1", "inner_c/graph.py": "from .nodes import NODE"},
    ),
    "src, absolute": (
        ["."],
        "./src/inner_d/graph.py",
        {"src/inner_d/nodes.py": "NODE = 1", "src/inner_d/graph.py": "from inner_d.nodes import NODE"},
    ),
    "src named itself": (
        ["./src"],
        "./src/inner_e/graph.py",
        {"src/inner_e/nodes.py": "NODE = 1", "src/inner_e/graph.py": "from inner_e.nodes import NODE"},
    ),
    "a package as the file": (
        ["."],
        "./inner_q/__init__.py",
        {"inner_q/nodes.py": "NODE = 1", "inner_q/__init__.py": "from .nodes import NODE"},
    ),
    "the package named itself": (
        ["./inner_f"],
        "./inner_f/graph.py",
        {
            "inner_f/__init__.py": "",
            "inner_f/nodes.py": "NODE = 1",
            "inner_f/graph.py": "from inner_f.nodes import NODE",
        },
    ),
    "a package with a pyproject elsewhere": (
        ["./graphs", "./shared"],
        "./graphs/inner_g.py",
        {
            "shared/pyproject.toml": '[tool.setuptools.packages.find]\nwhere = ["lib"]\n',
            "shared/lib/shared_g/__init__.py": "NODE = 1",
            "graphs/inner_g.py": "from shared_g import NODE",
        },
    ),
    "hatch": (
        ["./shared"],
        "./inner_h.py",
        {
            "shared/pyproject.toml": '[tool.hatch.build.targets.wheel]\npackages = ["code/shared_h"]\n',
            "shared/code/shared_h/__init__.py": "NODE = 1",
            "inner_h.py": "from shared_h import NODE",
        },
    ),
    "above the langgraph.json": (
        ["../outer_i"],
        "../outer_i/inner_i.py",
        {"../outer_i/inner_i.py": "from nodes_i import NODE", "../outer_i/nodes_i.py": "NODE = 1"},
    ),
    "a module beside it": (
        ["."],
        "./deep_j/inner_j.py",
        {"deep_j/inner_j.py": "from nodes_j import NODE", "deep_j/nodes_j.py": "NODE = 1"},
    ),
    "the name of something else": (
        ["."],
        "./json/graph.py",
        {"json/nodes.py": "NODE = 1", "json/graph.py": "from .nodes import NODE"},
    ),
    "a name that no import can write": (
        ["."],
        "./my-graphs.v2/graph.py",
        {"my-graphs.v2/nodes.py": "NODE = 1", "my-graphs.v2/graph.py": "from .nodes import NODE"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_files_import_what_their_project_has(tmp_path: Path, layout: str) -> None:
    dependencies, file, files = LAYOUTS[layout]
    (tmp_path / "project").mkdir()
    project = written(tmp_path / "project", files, dependencies=dependencies, graphs={"any": f"{file}:NODE"})
    assert await found(project) == 1
    assert project.warnings == ()


async def test_a_file_is_the_module_that_others_import(tmp_path: Path) -> None:
    files = {
        "inner_k/__init__.py": "",
        "inner_k/graph.py": "class State: ...",
        "inner_k/other.py": "from .graph import State",
    }
    graphs = {"one": "./inner_k/graph.py:State", "two": "./inner_k/other.py:State", "three": "inner_k.graph:State"}
    project = written(tmp_path, files, dependencies=["."], graphs=graphs)
    states = [await found(project, name) for name in graphs]
    assert states[0] is states[1] is states[2]
    assert str(states[0]) == "<class 'inner_k.graph.State'>"


async def test_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    files = {f"{each}/same_l.py": f"from nodes_{each} import NODE" for each in ("one", "two")}
    files |= {f"{each}/nodes_{each}.py": f"NODE = '{each}'" for each in ("one", "two")}
    project = written(tmp_path, files, graphs={each: f"./{each}/same_l.py:NODE" for each in ("one", "two")})
    assert [await found(project, each) for each in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("import a_module_that_is_not_there", 1, "No module named 'a_module_that_is_not_there'"),
        ("\n\ndef broken(:", 3, "SyntaxError"),
        ("x = 1\nraise RuntimeError('no such table')", 2, "no such table"),
    ],
)
async def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    project = written(
        tmp_path, {"inner_m/__init__.py": "", "inner_m/graph.py": text}, graphs={"any": "./inner_m/graph.py:graph"}
    )

    async def load() -> Any:
        return await found(project)

    registry = AgentRegistry({"mine": load}, redactor_of(settings_for(tmp_path)).shown)
    await registry.load()
    assert told in registry.failures["mine"]
    assert f"inner_m/graph.py:{line} in <module>" in registry.failures["mine"]


async def test_a_module_of_agents_that_is_not_there_is_told_in_two_sentences(tmp_path: Path) -> None:
    async def load() -> Any:
        return await load_attribute("a_module_that_is_not_there:graph")

    registry = AgentRegistry({"mine": load}, redactor_of(settings_for(tmp_path)).shown)
    await registry.load()
    assert "). Install what provides 'a_module_that_is_not_there'," in registry.failures["mine"]
    assert "start the server in its folder" in registry.failures["mine"]


async def test_a_broken_file_is_logged_without_our_own_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken_n.py").write_text("1 / 0")
    load: Any = partial(load_attribute, f"{tmp_path}/broken_n.py:graph")
    await AgentRegistry({"mine": load}, redact=str).load()
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    logged = record.__dict__.get("traceback") or record.exc_text  # where handlers of an earlier test put it
    begin, ours, *rest = [line.strip() for line in str(logged).splitlines()]
    assert begin == "Traceback (most recent call last):"
    assert re.fullmatch(r"\[\d+ of app, python\]", ours)
    assert rest[1:] == ["1 / 0", "ZeroDivisionError: division by zero"]


async def test_a_module_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    for text, hint in {
        "import a_module_that_is_not_there": "Install what provides 'a_module_that_is_not_there'",
        "import app.nodes": "The name 'app' is taken by this server",
        "import json.nodes": "",
        "1 / 0": "",
    }.items():
        project = written(tmp_path, {"broken_o.py": text}, graphs={"any": "./broken_o.py:graph"})
        with pytest.raises((ImportError, ZeroDivisionError)) as raised:
            await found(project)
        assert hint_for(raised.value).startswith(hint)
        assert bool(hint_for(raised.value)) == bool(hint)


async def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    project = written(
        tmp_path, {"other_p.py": ""}, graphs={"js": "./a.ts:graph", "gone": "./b.py:graph", "no": "./other_p.py:graph"}
    )
    for name, told in {"js": "JavaScript", "gone": "no file b.py", "no": "no attribute 'graph'"}.items():
        with pytest.raises(AgentUnavailable, match=told):
            await found(project, name)


# The environment


def test_env_is_a_file_or_a_map(tmp_path: Path) -> None:
    assert written(tmp_path, {}, env={"A": "1", "B": 2}).environment == {"A": "1", "B": "2"}
    files = {"my.env": "# a comment\nexport A='one two'\nB=\nC\n"}
    assert written(tmp_path, files, env="./my.env").environment == {"A": "one two", "B": ""}
    assert written(tmp_path, {}).environment == {}
    assert written(tmp_path, {}, env=["A"]).environment == {}, "names of variables that are set elsewhere"


def test_the_environment_wins_then_the_project_then_our_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        {".env": "E_ONE=env\nE_TWO=env\nE_THREE=env\nE_FOUR=\nOPENAI_API_KEY=your-openai-api-key-here\n"},
        env={"E_ONE": "p", "E_TWO": "p"},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("E_ONE", "real")
    monkeypatch.setenv("LANGGRAPH_CONFIG", "langgraph.json")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    share_environment(load_settings())
    assert [os.environ.get(f"E_{name}") for name in ("ONE", "TWO", "THREE", "FOUR")] == ["real", "p", "env", None]
    assert "OPENAI_API_KEY" not in os.environ, "the placeholder is no key"


def test_an_agent_has_the_version_of_its_graph_or_of_the_process(tmp_path: Path) -> None:
    graphs = {"own": {"path": "./a.py:g", "metadata": {"version": "7"}}, "plain": "./a.py:g"}
    written(tmp_path, {}, graphs=graphs)
    file = tmp_path / "langgraph.json"
    assert [settings_for(tmp_path, langgraph_config=file).version_of(name) for name in graphs] == ["7", None]
    settings = settings_for(tmp_path, langgraph_config=file, agent_version="v1", agents="own=b:g,other=b:g")
    assert [settings.version_of(name) for name in ("own", "plain", "other")] == ["v1", "v1", "v1"]
    settings = settings_for(tmp_path, langgraph_config=file, agent_version="v1")
    assert [settings.version_of(name) for name in graphs] == ["7", "v1"]


@pytest.mark.parametrize("version", ["two words", "x" * 101, "naïve", "line\n"])
def test_a_wrong_version_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("AGENT_VERSION", version)
    with pytest.raises(ConfigurationError, match="AGENT_VERSION: expected 1 to 100 printable ASCII characters"):
        load_settings(None)


def test_secrets_of_the_environment_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {}, env={"SEARCH_API_KEY": "tvly-12345678", "GREETING": "good morning"})
    monkeypatch.setenv("MY_PASSWORD", "correct horse")
    redactor = redactor_of(settings_for(tmp_path, langgraph_config=tmp_path / "langgraph.json"))
    assert redactor.shown("tvly-12345678, good morning, correct horse") == "***, good morning, ***"
    assert "tvly" not in repr(read_project(tmp_path / "langgraph.json"))


# The store


def test_the_times_to_live_of_the_store_are_read(tmp_path: Path) -> None:
    (tmp_path / "langgraph.json").write_text(named(DOCS / "how-to" / "keep-items.md", "sample: store"))
    project = read_project(tmp_path / "langgraph.json")
    assert (project.item_ttl, project.warnings) == (ItemTtl(10080, refresh_on_read=True), ())
    for ttl, expected in (({}, ItemTtl()), ({"refresh_on_read": False}, ItemTtl(None, refresh_on_read=False))):
        assert written(tmp_path, {"a": "x.py:g"}, store={"ttl": ttl}).item_ttl == expected


# Ignored fields and errors


def test_what_has_no_effect_is_warned_of_by_name(tmp_path: Path) -> None:
    metadata = {"version": "3", "team": "blue"}
    graphs = {"any": {"path": "./any.py:graph", "description": "Any.", "metadata": metadata}}
    ignored = {
        "python_version": "3.12",
        "auth": {"path": "./auth.py:auth"},
        "store": {"index": {"dims": 3}, "ttl": {"default_ttl": 60, "other": 1}, "more": True, "none": None},
        "dockerfile_lines": ["RUN x"],
    }
    project = written(
        tmp_path, {}, **{"$schema": "x"}, dependencies=["."], graphs=graphs, pip_config_file=None, **ignored
    )
    index, others = project.warnings
    assert index.startswith("its `store.index` has no effect: the store has no semantic search.")
    fields = "python_version, auth, dockerfile_lines, store.more, store.ttl.other, graphs.any.metadata.team"
    assert others == f"fields that have no effect here: {fields}"
    assert project.descriptions == {"any": "Any."}


def test_what_is_not_there_is_warned_of(tmp_path: Path) -> None:
    dependencies = ["langgraph>=0.1", "no-such-package[extra]>=1", "git+https://example.com/x.git", "."]
    project = written(tmp_path, {}, dependencies=dependencies, env=".env")
    assert project.warnings == (
        "it needs a package that is not installed: no-such-package[extra]>=1",
        "its `env` names a file that is not there: .env",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"graphs": {}}', ":1: `graphs`: expected an object with at least one graph"),
        ("[]", ":1: expected an object with `graphs`"),
        ('{\n"graphs": {"a": "x.py:g"\n', ":3: expected JSON, got text with a fault here (Expecting ',' delimiter)"),
        ('{\n"graphs": {\n"a": "x.py"}}', ":3: `a`: expected './file.py:attribute'"),
        ('{\n"graphs": {\n"a": {"description": "x"}}}', ":3: `a`: expected './file.py:attribute'"),
        ('{"graphs": {"a": "x.py:g"},\n"dependencies": "."}', ":2: `dependencies`: expected a list"),
        ('{"graphs": {"a": "x.py:g"},\n"dependencies": ["./gone"]}', ":2: `dependencies`: expected folders that exist"),
        ('{"graphs": {"a": "x.py:g"},\n"env": {"A": {"b": 1}}}', ":2: `env`: expected the path of a file"),
        ('{"graphs": {"a": "x.py:g"},\n"env": {"A=B": "c"}}', ":2: `env`: expected the path of a file"),
        ('{"graphs": {"a": "x.py:g"},\n"env": 1}', ":2: `env`: expected the path of a file"),
        ('{"graphs": {"a": "x.py:g"},\n"store": 1}', ":2: `store`: expected an object with `ttl`"),
        ('{"graphs": {"a": "x.py:g"},\n"store": {"ttl": 1}}', ":2: `ttl`: expected an object with `default_ttl`"),
        ('{"graphs": {"a": "x.py:g"},\n"store": {"ttl": {"default_ttl": 0}}}', ":2: `default_ttl`: expected minutes"),
        (
            '{"graphs": {"a": "x.py:g"},\n"store": {"ttl": {"refresh_on_read": 1}}}',
            ":2: `refresh_on_read`: expected true",
        ),
        (
            '{"graphs": {\n"a": {"path": "x.py:g", "metadata": "v1"}}}',
            ":2: `a`: expected a `metadata` that is an object",
        ),
        (
            '{"graphs": {\n"a": {"path": "x.py:g", "metadata": {"version": 1}}}}',
            ":2: `a`: expected a `version` of 1 to",
        ),
        ('{"graphs": {\n"a": {"path": "x.py:g", "metadata": {"version": "a b"}}}}', ":2: `a`: expected a `version` of"),
    ],
)
def test_what_is_wrong_is_told_with_the_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "langgraph.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_project(file)
    assert str(raised.value).startswith(f"LANGGRAPH_CONFIG: {file}{told}")


def test_a_secret_of_a_wrong_env_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "langgraph.json"
    file.write_text('{"graphs": {"a": "x.py:g"}, "env": {"KEY": ["hunter2hunter2"]}}')
    with pytest.raises(ConfigurationError) as raised:
        read_project(file)
    assert "hunter2" not in str(raised.value)
