"""The documents say what the code does: settings, endpoints, codes, commands, layers, examples, links."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from app import __version__
from app.api.errors import STATUS_BY_ERROR, title_of
from app.config import Settings, load_settings
from app.errors import AgentQueueError, Conflict
from app.main import create_app
from app.models.diagnosis import FindingCode
from app.models.events import EventType
from app.observability.logging import logging_config
from app.policy import retry
from app.policy.wait_estimate import WaitingCode
from app.store import terminal_states as endings
from tests.documents import ARCHITECTURE, GENERATORS, REFERENCE, openapi, rows_of_layers
from tests.pages import (
    DOCS,
    FENCE,
    INLINE_CODE,
    MARK,
    PAGES,
    PICTURES,
    README,
    ROOT,
    TARGETS,
    anchors,
    blocks_of,
    complaints,
    files_of_ours,
    graphs_of,
    inline_commands,
    links_of,
    name_of,
    prose,
)

ENV_EXAMPLE = ROOT / ".env.example"
ADRS = DOCS / "adr"
CONTROL = DOCS / "how-to" / "control-messages.md"
README_LINES = 250

SPECIFIED_SETTINGS = [
    "OPENAI_API_KEY",
    "MODEL_NAME",
    "MAX_QUEUE_SIZE",
    "PROCESSING_TIMEOUT",
    "KEEPALIVE_INTERVAL",
    "HOST",
    "PORT",
    "LOG_LEVEL",
]


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def section(page: Path, title: str) -> str:
    """The page's section of this heading."""
    _, _, rest = text_of(page).partition(f"\n## {title}\n")
    assert rest, f"{name_of(page)} has no section {title!r}"
    return rest.partition("\n## ")[0]


def shown(default: object) -> str:
    """A default as the README's table shows it."""
    match default:
        case None | {} | ():
            return "–"
        case bool():
            return f"`{str(default).lower()}`"
        case tuple():
            return f"`{','.join(default)}`"
        case _:
            return f"`{default}`"


def default_settings() -> dict[str, str]:
    return {
        name.upper(): shown(field.get_default(call_default_factory=True))
        for name, field in Settings.model_fields.items()
    }


def rows_of_settings(text: str) -> list[tuple[str, str, str]]:
    return re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", text, re.MULTILINE)


def test_the_table_of_settings_is_the_settings() -> None:
    rows = rows_of_settings(text_of(REFERENCE / "settings.md"))

    assert {name: default for name, default, _ in rows} == default_settings()
    assert len(rows) == len(Settings.model_fields)


def test_the_readme_has_the_specified_settings_as_the_reference_has_them() -> None:
    rows = rows_of_settings(section(README, "Settings"))

    assert [name for name, _, _ in rows] == SPECIFIED_SETTINGS
    assert set(rows) <= set(rows_of_settings(text_of(REFERENCE / "settings.md")))


def test_the_example_environment_names_every_setting_with_a_comment() -> None:
    lines = ENV_EXAMPLE.read_text("utf-8").splitlines()
    places = [place for place, line in enumerate(lines) if re.match(r"[A-Z_]+=", line)]
    names = [lines[place].partition("=")[0] for place in places]

    assert sorted(names) == sorted(default_settings())
    assert names[: len(SPECIFIED_SETTINGS)] == SPECIFIED_SETTINGS
    assert [name for name, place in zip(names, places, strict=True) if not lines[place - 1].startswith("# ")] == []


def test_copying_the_example_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in default_settings():
        monkeypatch.delenv(name, raising=False)

    copied = load_settings(str(ENV_EXAMPLE))

    assert copied.model_dump() == load_settings(None).model_dump()
    assert copied.uses_embedded_model


def test_the_example_of_a_logging_configuration_is_our_own() -> None:
    text = (ROOT / "config" / "logging.json").read_text("utf-8")

    assert text == json.dumps(logging_config("INFO", "text"), indent=2) + "\n"


def rows_of_requests(text: str) -> list[str]:
    return re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", text, re.MULTILINE)


def test_the_table_of_endpoints_is_the_api(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'queue.db'}")
    paths = create_app(settings).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    assert sorted(rows_of_requests(text_of(REFERENCE / "api.md"))) == sorted(served)
    assert rows_of_requests(section(README, "API"))
    assert set(rows_of_requests(section(README, "API"))) <= served


def test_the_generated_documents_are_up_to_date() -> None:
    assert {path.name for path in GENERATORS} >= {"openapi.json", "state-machine.md"}
    for path, generate in GENERATORS.items():
        assert text_of(path) == generate(), f"{name_of(path)}: run `make docs`"


def test_every_event_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (no|yes|yes, last) \|", text_of(REFERENCE / "events.md"), re.MULTILINE)

    assert {name for name, stored in rows if stored.startswith("yes")} == {str(kind) for kind in EventType}
    assert {name for name, stored in rows if stored == "no"} == {"waiting", "reset"}


def leaves(kind: type[AgentQueueError]) -> Iterator[type[AgentQueueError]]:
    """The class itself, or what is derived from it."""
    derived = kind.__subclasses__()
    for each in derived:
        yield from leaves(each)
    if not derived:
        yield kind


def test_every_code_of_a_refusal_is_described() -> None:
    table = section(REFERENCE / "errors.md", "Refusals")
    raised = {leaf for kind in STATUS_BY_ERROR for leaf in leaves(kind)} - {Conflict}

    for error in raised:
        status = next(status for kind, status in STATUS_BY_ERROR.items() if issubclass(error, kind))
        assert re.search(rf"^\| [0-9, ]*\b{status}\b[0-9, ]* \|.*`{error.code}`", table, re.MULTILINE), error.code


# Codes


def calls_of(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls of a module, without those that make examples for the description."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "example":
                continue
            yield node
        nodes.extend(ast.iter_child_nodes(node))


def texts_in(nodes: list[ast.expr]) -> set[str]:
    """Those of the nodes that are texts in the form of a code."""
    values = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {value for value in values if re.fullmatch("[a-z]+(_[a-z]+)*", value)}


def codes_of_calls(call: ast.Call) -> set[str]:
    """Return the values given as codes: after a status, after the text of a `Failed`, or by name."""
    found = texts_in([keyword.value for keyword in call.keywords if keyword.arg == "code"])
    match call:
        case ast.Call(args=[ast.Constant(value=int(status)), code, *_]) if 400 <= status < 600:
            found |= texts_in([code])
        case ast.Call(func=ast.Name(id="Failed"), args=[_, code, *_]):
            found |= texts_in([code])
    return found


def codes_of_constants(module: ModuleType) -> set[str]:
    """Return the codes of constants such as AGENT_ERROR or WORKER_LOST_CODE."""
    texts = {name: value for name, value in vars(module).items() if isinstance(value, str)}
    return {value for name, value in texts.items() if value == name.removesuffix("_CODE").lower()}


def codes_of_classes(tree: ast.Module) -> set[str]:
    """Return the codes that error classes have as an attribute."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                found.add(code)
    return found


@cache
def codes() -> set[str]:
    """Every code of a refusal or of a failure."""
    found = {title_of(status).lower().replace(" ", "_") for status in (403, 404, 405)}
    found |= codes_of_constants(retry) | codes_of_constants(endings)
    for path in (ROOT / "app").rglob("*.py"):
        tree = ast.parse(text_of(path))
        found |= codes_of_classes(tree).union(*map(codes_of_calls, calls_of(tree)))
    return found


NEVER_SHOWN = {"lease_lost", "conflict", "gone", "configuration_error"}
"""Codes of errors that end within the server or before it serves, and of classes that have only subclasses."""


def test_the_tables_of_errors_have_every_code_and_no_other() -> None:
    rows = re.findall(r"^\|((?: [0-9, ]+\|)? `[^|]+)\|", text_of(REFERENCE / "errors.md"), re.MULTILINE)
    described = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)} - {"code"}

    assert described == codes() - NEVER_SHOWN - (set(WaitingCode) - {"thread_busy", "agent_unavailable"})


def test_the_table_of_reasons_has_every_reason() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(CONTROL, "See why it waits"), re.MULTILINE)

    assert sorted(rows) == sorted(WaitingCode)


SHOWN_CODE = re.compile(r"\"(?:error_)?code\\?\":\s*\\?\"([\w-]+)")


def test_every_code_in_an_example_exists() -> None:
    known = codes() | set(WaitingCode) | set(FindingCode)
    shown = {(name_of(path), code) for path in {*PAGES, *GENERATORS} for code in SHOWN_CODE.findall(text_of(path))}

    assert [(name, code) for name, code in shown if code not in known] == []


def test_codes_in_examples_are_found() -> None:
    assert SHOWN_CODE.findall(openapi())
    assert SHOWN_CODE.findall(text_of(CONTROL))


# Examples


def test_every_block_says_how_it_is_tested() -> None:
    for page in PAGES:
        blocks = blocks_of(page)
        unmarked = [each.code for each in blocks if each.language not in PICTURES and not MARK.fullmatch(each.mark)]

        assert unmarked == [], name_of(page)
        assert len(blocks) == len(FENCE.findall(text_of(page))), name_of(page)
        assert re.findall(r"\n\n    +\S.*", prose(page)) == [], f"{name_of(page)}: indented code has no comment"


def test_every_marked_block_can_be_what_its_mark_says() -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    unknown = {block.code: complaints(block.code, block.page) for block in blocks if block.mark == "checked"}

    assert [(name_of(block.page), block.code) for block in blocks if block.is_run and block.language != "bash"] == []
    assert {code: found for code, found in unknown.items() if found} == {}


def test_every_command_in_a_sentence_names_what_exists() -> None:
    commands = [(page, command) for page in PAGES for command in inline_commands(page)]

    assert commands
    assert [(name_of(page), command) for page, command in commands if complaints(command, page)] == []


def literals(path: Path) -> set[str]:
    """The texts in a module's code."""
    nodes = ast.walk(ast.parse(text_of(path)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_named_block_is_used_by_a_test() -> None:
    used = set().union(*(literals(path) for path in (ROOT / "tests" / "integration").glob("test_*.py")))
    used |= set().union(*(literals(path) for path in (ROOT / "tests" / "unit").glob("test_*.py")))
    blocks = [block for page in PAGES for block in blocks_of(page) if block.name not in {None, *graphs_of(page)}]

    assert [(name_of(block.page), block.mark) for block in blocks if block.mark not in used] == []


# Pages


def test_the_comparison_is_of_this_version() -> None:
    assert f"| This, {'.'.join(__version__.split('.')[:2])} |" in text_of(DOCS / "explanation" / "comparison.md")


def test_the_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= README_LINES


def test_the_readme_lists_the_folders_of_the_checkout() -> None:
    listed = re.findall(r"^\| `(\w+)/` \|", section(README, "Development"), re.MULTILINE)
    folders = {path.relative_to(ROOT).parts[0] for path in files_of_ours("*") if path.parent != ROOT}

    assert set(listed) == {folder for folder in folders if not folder.startswith((".", "_"))}


def test_the_index_lists_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links_of(index)}
    of_docs = {page for page in PAGES if page.is_relative_to(DOCS) and page.parent != ADRS} - {index}

    assert linked >= of_docs | set(REFERENCE.iterdir()) | {ADRS / "README.md"}


def test_every_page_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links_of(page)}

    assert [name_of(page) for page in PAGES if page not in linked | {README}] == []


def test_a_unit_test_starts_no_server_of_ours() -> None:
    """CONTRIBUTING promises this."""
    servers = {"live_server", "server_process", "LiveServer", "ServerProcess"}
    for path in (ROOT / "tests" / "unit").glob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(text_of(path)))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not imported & servers, path.name


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether a link of the page names a file that exists, and a heading of it."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_link_leads_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in links_of(page)]

    assert links
    assert [(name_of(page), link) for page, link in links if not leads_somewhere(page, link)] == []


def targets_of(page: Path) -> set[str]:
    """Return the targets of `make` that the page's code names."""
    text = text_of(page)
    code = "\n".join([*FENCE.findall(text), *INLINE_CODE.findall(FENCE.sub("", text))])
    return set(re.findall(r"(?:^|[\s`])make(?:[ ]+[A-Z_]+=\S+)*[ ]+([a-z][a-z-]*)", code, re.MULTILINE))


def test_every_make_target_named_exists() -> None:
    named = {(name_of(page), target) for page in PAGES for target in targets_of(page)}

    assert named
    assert [(name, target) for name, target in named if target not in TARGETS] == []


FILE_OF_OURS = re.compile(r"`(\w[\w-]*/[\w./-]+\.(?:py|sql|lua|md|yaml|json|conf|ts))`")


def test_every_file_named_exists() -> None:
    """Those of decisions are of their time."""
    named = [(page, name) for page in PAGES if page.parent != ADRS for name in FILE_OF_OURS.findall(text_of(page))]

    assert named
    assert [
        (name_of(page), name)
        for page, name in named
        if not any((place / name).exists() for place in (ROOT, ROOT / "app", page.parent))
    ] == []


def test_the_picture_of_the_architecture_names_modules() -> None:
    [picture] = [block.code for block in blocks_of(ARCHITECTURE) if block.language == "mermaid"]
    nodes = set(re.findall(r"(?:^ +|> ?(?:\|[^|]*\| ?)?)(\w+)\b", picture, re.MULTILINE))

    assert nodes - {"client", "heartbeat", "sse", "reader"} <= {module for _, module in rows_of_layers()}
    assert "agent_processor" in nodes


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (ADRS / "README.md").read_text("utf-8"))

    assert listed == sorted(path.name for path in ADRS.glob("[0-9]*.md"))


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def test_the_pages_are_written_in_our_own_words() -> None:
    taken = [words(text_of(seed)) for seed in (ROOT.parent / "shared" / "seed").glob("*.txt")]
    ours = "\n\n".join(map(prose, PAGES))
    sentences = [words(sentence) for sentence in re.split(r"[.!?:|]\s|\n\s*\n|^[-#]", ours, flags=re.MULTILINE)]

    assert [s for s in sentences if len(s.split()) >= 8 and any(s in text for text in taken)] == []


def test_yaml_files_can_be_read() -> None:
    files = [*files_of_ours("*.yaml"), *files_of_ours("*.yml")]

    assert files
    for path in files:
        assert all(yaml.safe_load_all(text_of(path))), name_of(path)


def test_the_composition_is_closed_to_strangers_and_names_real_settings() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    server = compose["services"]["server"]

    assert set(server["environment"]) <= set(default_settings())
    assert [port for port in server["ports"] if not port.startswith("127.0.0.1:")] == []
    assert "ALLOW_ANONYMOUS" in server["environment"]
