"""The command that prints the completion of a shell."""

from enum import StrEnum
from typing import Annotated

import typer

from .commands import group
from .terminal import Terminal

app = group()


class Shell(StrEnum):
    """A shell whose completion is known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(ctx: typer.Context, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell.")]) -> None:
    """Print the script that completes commands. For bash, add `eval "$(agentq completion bash)"` to ~/.bashrc."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # not in its list of names

    terminal: Terminal = ctx.obj
    terminal.line(get_completion_script(prog_name="agentq", complete_var="_AGENTQ_COMPLETE", shell=shell))
