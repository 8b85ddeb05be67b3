"""Lua scripts from the files in `lua/`, by name."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*(?: end\n|\n(?:(?:[ ].*)?\n)*end\n)", re.MULTILINE)
_WORD = re.compile(r"\w+")


class Script(NamedTuple):
    """A script and the name under which the server keeps it."""

    text: str
    sha: str


@cache
def load_scripts() -> Mapping[str, Script]:
    """All of `lua/*.lua`; a line `-- include: name` is replaced by what is used of `lua/shared/name.lua`.

    Cached: to read them takes 25 ms, and they do not change while a process runs.
    """
    folder = files(__name__.rsplit(".", 2)[0]).joinpath("lua")
    scripts = {}
    for file in folder.iterdir():
        name, dot, _ = file.name.partition(".lua")
        if dot:
            whole = _INCLUDE.sub(
                lambda include: folder.joinpath("shared", f"{include[1]}.lua").read_text("utf-8"),
                file.read_text("utf-8"),
            )
            text = _without_unused(whole)
            scripts[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return MappingProxyType(scripts)


def _without_unused(text: str) -> str:
    """Without functions that it does not call: each call of a script makes all that it has."""
    functions = {found[1]: found[0] for found in _FUNCTION.finditer(text)}
    used: set[str] = set()
    unread = [_FUNCTION.sub("", text)]
    while unread:
        named = (functions.keys() & _WORD.findall(unread.pop())) - used
        used |= named
        unread += [functions[name] for name in named]
    return _FUNCTION.sub(lambda found: found[0] if found[1] in used else "", text)
