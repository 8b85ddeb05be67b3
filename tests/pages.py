"""The pages: every document, its blocks, and what the comments before the blocks mean.

Each block of code has a comment before it that says how it is tested:

- `tested`, with `shows: text` and `matches: pattern` behind a ` | `: run in bash against a server, in the page's order.
  `tested, the server is stopped`: likewise, after the server was stopped.
- `tested: name`, `sample: name`, `file: name`: run, compared or used by a test that has this name in its code.
- `checked`: cannot run here, as it needs a network, containers or keys; `complaints` looks up what it names.

`server: NAME=value ...` gives the settings of the server against which the page's blocks run.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import opentelemetry.sdk.environment_variables
from uvicorn.main import main as uvicorn_command

from app.cli.commands import COMMANDS
from app.config import Settings
from tests.command_line import is_command

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
NOT_OURS = ("node_modules", "data", "dist", "htmlcov", "results")

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
BLOCK = re.compile(r"^(?:<!-- ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"(?:tested|sample|file): (?P<name>[^|]+)|tested(?:, the server is stopped)?(?: \| .*)?|checked")
PICTURES = ("mermaid",)


def files_of_ours(pattern: str) -> list[Path]:
    """Files of the checkout, without environments, caches, data and installed packages."""
    found = (path for path in ROOT.rglob(pattern) if path.is_file())
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") or part in NOT_OURS for part in path.relative_to(ROOT).parts[:-1])
    )


PAGES = files_of_ours("*.md")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Block(NamedTuple):
    """A fenced block of a page. `mark` is the comment before it, empty without one."""

    page: Path
    mark: str
    language: str
    code: str

    @property
    def is_run(self) -> bool:
        """Whether it runs against the page's server."""
        return self.mark.startswith("tested") and not self.mark.startswith("tested:")

    @property
    def server_is_stopped(self) -> bool:
        return self.mark.startswith("tested, the server is stopped")

    @property
    def name(self) -> str | None:
        """The name by which a test asks for it."""
        found = MARK.fullmatch(self.mark)
        return found["name"].strip() if found and found["name"] else None

    @property
    def expected(self) -> list[re.Pattern[str]]:
        """The text that it prints, by its mark."""
        patterns = []
        for kind, _, text in (note.partition(": ") for note in self.mark.split(" | ")[1:]):
            assert kind in {"shows", "matches"}, kind
            patterns.append(re.compile(text if kind == "matches" else re.escape(text)))
        return patterns


def blocks_of(page: Path) -> list[Block]:
    return [Block(page, *found) for found in BLOCK.findall(page.read_text("utf-8"))]


def named(page: Path, mark: str) -> str:
    """The code behind a mark such as `file: desk.py`."""
    [block] = [block for block in blocks_of(page) if block.mark == mark or block.mark.startswith(f"{mark} | ")]
    return block.code


def runs(page: Path) -> bool:
    """Whether commands of the page run against a server."""
    return any(block.is_run for block in blocks_of(page))


def graphs_of(page: Path) -> dict[str, str]:
    """The Python files of a page whose commands run, for the server."""
    blocks = blocks_of(page) if runs(page) else []
    return {block.name: block.code for block in blocks if block.name and block.language == "python"}


def server_settings(page: Path) -> dict[str, str]:
    """The settings of the page's server."""
    found = re.search(r"^<!-- server: (.+) -->$", page.read_text("utf-8"), re.MULTILINE)
    return dict(setting.split("=", 1) for setting in found[1].split()) if found else {}


def prose(page: Path) -> str:
    """The text without code blocks and comments."""
    return COMMENT.sub("", FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as repository hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h).lower()) for h in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def links_of(page: Path) -> list[str]:
    """The links of a page that stay in the checkout."""
    links = re.findall(r"\]\(([^)\s]+)\)", INLINE_CODE.sub("", prose(page)))
    return [link for link in links if "://" not in link and not link.startswith("mailto:")]


# Commands that cannot run here

OF_OPENTELEMETRY = {name for name in vars(opentelemetry.sdk.environment_variables) if name.startswith("OTEL_")}

SETTINGS = (
    {name.upper() for name in Settings.model_fields}
    | OF_OPENTELEMETRY
    | {
        "BUILD_CONTEXT",
        "PYTHON",
        "CHAOS_SECONDS",
        "CHAOS_SEED",
        "FUZZ_CASES",
        "FUZZ_SEED",
    }
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
UVICORN_OPTIONS = {
    option for parameter in uvicorn_command.params for option in (*parameter.opts, *parameter.secondary_opts)
}
PATH_OPTIONS = {"-r", "-f", "-k"}
INLINE_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:agentq|make|uv|pip|python|uvicorn|docker|kubectl|npm) (?!-m$)\S")


def complaints(code: str, page: Path) -> list[str]:
    """Return the names in the commands that do not exist: files, targets, modules, settings, options, scripts."""
    folder = page.parent if page.with_name("package.json").exists() else ROOT
    found: list[str] = []
    made: set[str] = set()
    for line in code.replace("\\\n", " ").splitlines():
        place = folder
        for command in line.split("&&"):
            words = shlex.split(command.strip(" ()"), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                setting, _, value = words.pop(0).partition("=")
                if setting not in SETTINGS:
                    found.append(setting)
                if setting == "BUILD_CONTEXT":
                    compose = words[words.index("-f") + 1] if "-f" in words else "compose.yaml"
                    found += _missing(ROOT.joinpath(compose).parent, [f"{value}/Dockerfile"])
            if words[:1] == ["cd"]:
                place = folder / words[1]
            elif words[:1] == ["cp"]:
                made.add(words[2])
                found += _missing(place, words[1:2])
            elif words:
                found += [each for each in _of_program(words, place) if each not in made]
    return found


def _missing(folder: Path, paths: list[str]) -> list[str]:
    return [path for path in paths if not (folder / path).exists()]


def _of_program(words: list[str], folder: Path) -> list[str]:  # noqa: C901, PLR0911, PLR0912  one case a program
    """Return the names in a known program's command that do not exist; the program when it is not known."""
    match [words[0].removeprefix(".venv/bin/"), *words[1:]]:
        case ["make", *targets]:
            return [each for each in targets if "=" not in each and each not in TARGETS]
        case ["uv", "sync"]:
            return []
        case ["uv", "run", *rest]:
            return _of_program(rest, folder)
        case ["uv", "pip", *rest]:
            return _of_program(["pip", *rest], folder)
        case ["pip", "install", *rest]:
            return _of_pip(rest, folder)
        case ["python" | "python3", "-m", module, *_]:
            return [] if find_spec(module) else [module]
        case ["uvicorn", application, *options]:
            named = [application, *(word for word in options if word.count(":") == 1)]
            modules = [word for word in named if not find_spec(word.partition(":")[0])]
            return modules + [word for word in options if word.startswith("-") and word not in UVICORN_OPTIONS]
        case ["agentq", *arguments]:
            return [] if _of_agentq(arguments) else [" ".join(words)]
        case ["pytest", *rest]:
            return _missing(folder, [word for word in rest if not word.startswith("-")])
        case ["black", *paths] | ["ruff", "check", *paths]:
            return _missing(folder, paths)
        case ["docker", "build", "-t", _, context]:
            return _missing(folder, [f"{context}/Dockerfile"])
        case ["docker", "compose", *rest]:
            return _missing(folder, [rest[rest.index("-f") + 1] if "-f" in rest else "compose.yaml"])
        case ["kubectl", "apply", "-f" | "-k", path]:
            return _missing(folder, [path])
        case ["npm", "install" | "ci"]:
            return _missing(folder, ["package.json"])
        case ["npm", "install", path]:
            return _missing(folder, [f"{path}/package.json"])
        case ["npm", "test"]:
            return _of_program(["npm", "run", "test"], folder)
        case ["npm", "run", script]:
            return [] if script in json.loads((folder / "package.json").read_text("utf-8"))["scripts"] else [script]
    return [words[0]]


def _of_agentq(arguments: list[str]) -> bool:
    """Return whether `agentq` has this command. Sentences may name a group, or a command without its ids."""
    if arguments and (entry := COMMANDS.get(arguments[0])) and entry.is_group and len(arguments) == 1:
        return True
    with redirect_stdout(StringIO()):
        return is_command(arguments) or is_command([*arguments, "ID"])


def _of_pip(words: list[str], folder: Path) -> list[str]:
    found = []
    extras = PROJECT["project"]["optional-dependencies"]
    for at, word in enumerate(words):
        if words[at - 1 : at] == ["-r"]:
            found += _missing(folder, [word])
        elif ours := re.fullmatch(rf"(?:\.|{PROJECT['project']['name']})\[(\w+)\]", word):
            found += [] if ours[1] in extras else [word]
    return found


def inline_commands(page: Path) -> Iterator[str]:
    """Commands within sentences and tables."""
    for span in INLINE_CODE.findall(prose(page)):
        if INLINE_COMMAND.match(span[1:-1]) and "…" not in span:
            yield span[1:-1]
