"""Loads named queries from `.sql` files."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from ...models.usage import Tokens
from ..keys import KEY_COLUMNS
from ..rows import AUDIT_COLUMNS, DELIVERY_COLUMNS, MESSAGE_COLUMNS
from ..schema_version import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION
from ..tenants import TENANT_COLUMNS

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\{(\w+)\}")


COLUMNS = {
    "message_columns": ", ".join(MESSAGE_COLUMNS),
    "listed_columns": ", ".join("CAST(NULL AS TEXT) AS options" if n == "options" else n for n in MESSAGE_COLUMNS),
    "delivery_record_columns": ", ".join(f"deliveries.{name}" for name in DELIVERY_COLUMNS),
    "key_columns": ", ".join(KEY_COLUMNS),
    "tenant_columns": ", ".join(TENANT_COLUMNS),
    "audit_columns": ", ".join(AUDIT_COLUMNS),
    "token_columns": ", ".join(Tokens._fields),
}
"""Texts for every dialect: lists of columns in the order that `app.store.rows` needs."""

_FOLDER = files(__name__.rpartition(".")[0])


@cache
def load_queries(dialect: str) -> Mapping[str, str]:
    """Return the store's queries by name. A process reads them once for all stores."""
    return read_queries(_FOLDER.joinpath(dialect, "queries.sql"))


def read_queries(file: Traversable) -> Mapping[str, str]:
    """Return the texts in a file by name. In a text, `{name}` is replaced by the text of that name."""
    _, *parts = _HEADING.split(file.read_text("utf-8"))
    raw = COLUMNS | {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}

    def whole(name: str) -> str:
        return _REFERENCE.sub(lambda found: whole(found[1]), raw[name])

    return MappingProxyType({name: whole(name) for name in raw})


@cache
def load_migrations(dialect: str) -> Sequence[tuple[int, str]]:
    """Return (number, script) of each file in `<dialect>/migrations`. A script leads to schema version `number`.

    A process reads each file once.
    """
    folder = _FOLDER.joinpath(dialect, "migrations")
    scripts = sorted((int(f.name.split("_")[0]), f.read_text("utf-8")) for f in folder.iterdir())
    numbers = list(range(OLDEST_SCHEMA_VERSION, SCHEMA_VERSION + 1))
    assert [number for number, _ in scripts] == numbers, "migrations and schema versions differ"
    return scripts
