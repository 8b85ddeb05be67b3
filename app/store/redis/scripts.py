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


class _Part(NamedTuple):
    """A piece of a script: a function, or the text between two functions, which has no name."""

    text: str
    words: frozenset[str]
    name: str | None = None


@cache
def load_scripts() -> Mapping[str, Script]:
    """Return the scripts of `lua/*.lua` by name, cached, since it takes 20 ms.

    A line `-- include: name` is replaced by the functions of `lua/shared/name.lua` that the script uses.
    `{message_columns}` is replaced by the names of a message's columns, `{message.content}` by the index of `content`
    among them.
    """
    folder = files(__name__.rsplit(".", 2)[0]).joinpath("lua")
    shared = {file.name: _parts_of(file.read_text("utf-8")) for file in folder.joinpath("shared").iterdir()}
    scripts = {}
    for file in folder.iterdir():
        name, dot, _ = file.name.partition(".lua")
        if dot:
            parts: list[_Part] = []
            for number, piece in enumerate(_INCLUDE.split(file.read_text("utf-8"))):
                parts += shared[f"{piece}.lua"] if number % 2 else _parts_of(piece)
            text = _without_unused(parts)
            scripts[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return MappingProxyType(scripts)


def _parts_of(text: str) -> Sequence[_Part]:
    """Split a text into its functions and what is between them. Placeholders are replaced."""
    parts = []
    text = _PLACEHOLDER.sub(_column_names_or_place, text)
    end = 0
    for found in _FUNCTION.finditer(text):
        parts += [_part(text[end : found.start()]), _part(found[0], found[1])]
        end = found.end()
    return [*parts, _part(text[end:])]


def _part(text: str, name: str | None = None) -> _Part:
    return _Part(text, frozenset(_WORD.findall(text)), name)


def _column_names_or_place(found: re.Match[str]) -> str:
    columns = _COLUMNS[found[1]]
    return str(columns.index(found[2]) + 1) if found[2] else ", ".join(f"'{column}'" for column in columns)


def _without_unused(parts: Sequence[_Part]) -> str:
    """Return a script without the functions that it does not call. Each run would create them."""
    functions = {part.name: part for part in parts if part.name is not None}
    used: set[str] = set()
    words: set[str] = set().union(*(part.words for part in parts if part.name is None))
    while named := (functions.keys() & words) - used:
        used |= named
        words = set().union(*(functions[name].words for name in named))
    return "".join(part.text for part in parts if part.name is None or part.name in used)
