"""Loads Lua scripts from the files in `lua/`."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from ..keys import KEY_COLUMNS
from ..rows import DELIVERY_COLUMNS, MESSAGE_COLUMNS
from ..tenants import TENANT_COLUMNS
from .replies import THREAD_COLUMNS

_COLUMNS: Mapping[str, Sequence[str]] = {
    "message": MESSAGE_COLUMNS,
    "listed": ["" if name == "options" else name for name in MESSAGE_COLUMNS],
    "delivery": DELIVERY_COLUMNS,
    "thread": THREAD_COLUMNS,
    "api_key": KEY_COLUMNS,
    "tenant": TENANT_COLUMNS,
}
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(_COLUMNS)})(?:_columns|\.(\w+))\}}")

_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*(?: end\n|\n(?:(?:[ ].*)?\n)*end\n)", re.MULTILINE)
_WORD = re.compile(r"\w+")


class Script(NamedTuple):
    """A script and the SHA-1 under which the server keeps it."""

    text: str
    sha: str


@cache
def load_scripts() -> Mapping[str, Script]:
    """Return the scripts of `lua/*.lua` by name, cached, since reading the files takes 25 ms.

    A line `-- include: name` is replaced by the functions of `lua/shared/name.lua` that the script uses.
    `{message_columns}` is replaced by the names of a message's columns, `{message.content}` by the index of `content`
    among them.
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
            text = _without_unused(_PLACEHOLDER.sub(_column_names_or_place, whole))
            scripts[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return MappingProxyType(scripts)


def _column_names_or_place(found: re.Match[str]) -> str:
    columns = _COLUMNS[found[1]]
    return str(columns.index(found[2]) + 1) if found[2] else ", ".join(f"'{column}'" for column in columns)


def _without_unused(text: str) -> str:
    """Return a script without the functions that it does not call. Each run would create them."""
    functions = {found[1]: found[0] for found in _FUNCTION.finditer(text)}
    used: set[str] = set()
    unread = [_FUNCTION.sub("", text)]
    while unread:
        named = (functions.keys() & _WORD.findall(unread.pop())) - used
        used |= named
        unread += [functions[name] for name in named]
    return _FUNCTION.sub(lambda found: found[0] if found[1] in used else "", text)
