"""Copies a database into a file and back, and writes it anew: what every engine offers for backups and erasures.

The methods block, so that Ctrl-C ends them at once. They are for commands, never for a server's event loop.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

Progress = Callable[[int, int], None]
"""Called with what is done and the whole, in any unit. The whole is 0 if it is not known."""


class Target(NamedTuple):
    """The database that a copy would replace. `damage` says why it cannot be read, None if it can."""

    has_messages: bool
    damage: str | None = None


class Copier(Protocol):
    """Copies the queue, the agents' memory or both, as one moment has them. All methods raise AgentQueueError."""

    @property
    def engine(self) -> str:
        """Return the name of the engine. A copy can only be put back into the same engine."""

    @property
    def folder(self) -> Path | None:
        """Return the folder of the database if it is a file. Large temporary files belong there."""
        return None

    def owns(self, file: Path) -> bool:  # noqa: ARG002  an engine without files of its own owns none
        """Return whether an existing file belongs to the database."""
        return False

    def copy(self, to: Path, progress: Progress) -> int:
        """Copy into a new file and check the copy. Return the schema version, 0 for the agents' memory.

        Writers go on, or wait for a moment. What they commit meanwhile may be missing from the copy.
        """

    def check(self, file: Path) -> None:
        """Raise BackupDamaged for a file that is no whole copy, StoreIncompatible for an unknown schema."""

    def compact(self) -> None:
        """Write the database anew, so that its files keep nothing of deleted rows. Writers wait meanwhile.

        Does nothing for a missing database. Raises StoreUnavailable if others keep the files from being replaced.
        """

    def look(self) -> Target:
        """Look at the database that a copy would replace. Change nothing; a missing database is an empty one.

        Raises TargetInUse if other processes are known to have it open, StoreIncompatible if it is of another program.
        """

    def restore(self, file: Path, progress: Progress) -> None:
        """Replace the database by a checked copy, in one transaction where the engine can.

        Raises TargetInUse if other processes have the database open.
        """
