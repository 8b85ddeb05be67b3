"""The version of what the stores keep: tables and columns, keys and fields. All engines share it."""

from ..errors import StoreIncompatible

OLDEST_SCHEMA_VERSION = 43
"""The schema version of the initial migrations. All development versions before 0.2.0 have lower ones."""

SCHEMA_VERSION = 43
"""The schema version that this program writes, as tables and columns or as keys and fields on Redis."""


def check_version(version: int) -> None:
    """Raise StoreIncompatible unless this program can use or migrate a database with this version."""
    if version > SCHEMA_VERSION:
        raise StoreIncompatible(
            f"The database has schema version {version}, this program knows versions up to {SCHEMA_VERSION}. "
            "Start the newer version of the program."
        )
    if version < OLDEST_SCHEMA_VERSION:
        raise StoreIncompatible(
            f"The database has schema version {version}, of a development version before 0.2.0, which has no "
            "migration. Start with an empty database: expected another URL"
        )
