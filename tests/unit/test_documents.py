"""The documents say what the code does: settings, endpoints, codes, commands, links."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.api.errors import STATUS_BY_ERROR
from app.config import Settings, load_settings
from app.errors import AgentQueueError, Conflict
from app.main import create_app
from app.models import EventType
from app.telemetry import logging_config
from tests.documents import generated

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
ENV_EXAMPLE = ROOT / ".env.example"
ADRS = ROOT / "docs" / "adr"

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
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


def files_of_ours(pattern: str) -> list[Path]:
    """Files of the checkout, without environments, caches, data and installed packages."""
    found = (path for path in ROOT.rglob(pattern) if path.is_file())
    left_out = ("node_modules", "data", "dist", "htmlcov", "results")
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") or part in left_out for part in path.relative_to(ROOT).parts[:-1])
    )


DOCUMENTS = files_of_ours("*.md")
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=[str(d.relative_to(ROOT)) for d in DOCUMENTS])


def section(title: str) -> str:
    """The README's section of this heading, without its subsections' parents."""
    _, _, rest = README.read_text("utf-8").partition(f"\n## {title}\n")
    assert rest, f"README has no section {title!r}"
    return rest.partition("\n## ")[0]


def shown(default: object) -> str:
    """A default as the README's table shows it."""
    match default:
        case None | {} | ():
            return "–"
        case bool():
            return f"`{str(default).lower()}`"
        case _:
            return f"`{default}`"


def default_settings() -> dict[str, str]:
    return {
        name.upper(): shown(field.get_default(call_default_factory=True))
        for name, field in Settings.model_fields.items()
    }


def test_the_table_of_settings_is_the_settings() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", section("Settings"), re.MULTILINE)

    assert {name: default for name, default, _ in rows} == default_settings()
    assert len(rows) == len(Settings.model_fields)


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


def test_the_table_of_endpoints_is_the_api(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'queue.db'}")
    paths = create_app(settings).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", section("API"), re.MULTILINE)

    assert sorted(rows) == sorted(served)


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: path.name)
def test_the_generated_documents_are_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == generated()[path], "run `make docs`"


def test_every_event_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (no|yes|yes, last) \|", section("Events"), re.MULTILINE)

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
    table = section("Errors")
    raised = {leaf for kind in STATUS_BY_ERROR for leaf in leaves(kind)} - {Conflict}

    for error in raised:
        status = next(status for kind, status in STATUS_BY_ERROR.items() if issubclass(error, kind))
        assert re.search(rf"^\| [0-9, ]*\b{status}\b[0-9, ]* \|.*`{error.code}`", table, re.MULTILINE), error.code


def prose(document: Path) -> str:
    """The text without code blocks and comments."""
    return COMMENT.sub("", FENCE.sub("", document.read_text("utf-8")))


def anchors(document: Path) -> set[str]:
    """Of the headings, as repository hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h).lower()) for h in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", INLINE_CODE.sub("", prose(document)))
    dead = []
    for link in links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)

    assert dead == []


@documents
def test_every_make_target_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = document.read_text("utf-8")
    code = "\n".join([*FENCE.findall(text), *INLINE_CODE.findall(FENCE.sub("", text))])
    named = set(re.findall(r"(?:^|[\s`])make((?:[ ]+[A-Z_]+=\S+)*)[ ]+([a-z][a-z-]*)", code, re.MULTILINE))

    assert {target for _, target in named} <= targets


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (ADRS / "README.md").read_text("utf-8"))

    assert listed == sorted(path.name for path in ADRS.glob("[0-9]*.md"))


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def test_the_readme_is_written_in_our_own_words() -> None:
    taken = [words(seed.read_text("utf-8")) for seed in (ROOT.parent / "shared" / "seed").glob("*.txt")]
    sentences = [
        words(sentence) for sentence in re.split(r"[.!?:|]\s|\n\s*\n|^[-#]", prose(README), flags=re.MULTILINE)
    ]

    assert [s for s in sentences if len(s.split()) >= 8 and any(s in text for text in taken)] == []


@pytest.mark.parametrize("path", [*files_of_ours("*.yaml"), *files_of_ours("*.yml")], ids=lambda path: path.name)
def test_yaml_files_can_be_read(path: Path) -> None:
    assert all(yaml.safe_load_all(path.read_text("utf-8")))


def test_the_composition_is_closed_to_strangers_and_names_real_settings() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    server = compose["services"]["server"]

    assert set(server["environment"]) <= set(default_settings())
    assert [port for port in server["ports"] if not port.startswith("127.0.0.1:")] == []
    assert "ALLOW_ANONYMOUS" in server["environment"]
