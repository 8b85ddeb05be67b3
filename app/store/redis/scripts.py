"""Lua scripts from the files in `lua/`, by name."""

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    """A script and the name under which the server keeps it."""

    text: str
    sha: str


def load_scripts() -> Mapping[str, Script]:
    """All of `lua/*.lua`; a line `-- include: name` is replaced by `lua/shared/name.lua`."""
    folder = files("app.store").joinpath("lua")
    scripts = {}
    for file in folder.iterdir():
        name, dot, _ = file.name.partition(".lua")
        if dot:
            text = _INCLUDE.sub(
                lambda include: folder.joinpath("shared", f"{include[1]}.lua").read_text("utf-8"),
                file.read_text("utf-8"),
            )
            scripts[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return MappingProxyType(scripts)
