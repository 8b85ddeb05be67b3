"""Parses command lines of `agentq` without running them."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from app.cli.commands import root


def parsed(arguments: Sequence[str]) -> Any:
    """Return the context of the command that the arguments name. Raises typer.TyperException for wrong ones."""
    context: Any = root().make_context("agentq", list(arguments))
    while isinstance(context.command, TyperGroup):
        if not (left := [*context._protected_args, *context.args]):
            if context.params.get("version"):
                break
            raise typer.BadParameter("a command is missing")
        name, command, rest = context.command.resolve_command(context, left)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


def is_command(arguments: Sequence[str]) -> bool:
    """Return whether the arguments are a command of `agentq` with options that it has."""
    try:
        parsed(arguments)
    except typer.Exit:  # --help and --version
        return True
    except typer.TyperException:
        return False
    return True
