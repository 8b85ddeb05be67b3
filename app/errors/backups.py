"""The errors of backups: making one, and putting it back."""

from collections.abc import Sequence

from . import AgentQueueError


class BackupError(AgentQueueError):
    """A backup cannot be made or put back. The target is as it was."""

    code = "backup_failed"


class DatabaseMissing(BackupError):
    """There is no database of a queue where DATABASE_URL points."""

    code = "database_missing"


class BackupDamaged(BackupError):
    """The file is cut off, was changed, or is no backup of this program."""

    code = "backup_damaged"


class BackupExists(BackupError):
    """The name of the new backup is taken."""

    code = "file_exists"


class BackupMisplaced(BackupExists):
    """The name is that of a device, of a pipe, or of the database itself. Nothing replaces these."""


class BackupUnfit(BackupError):
    """The backup is whole, but its parts do not belong where the settings point."""

    code = "backup_unfit"


class TargetInUse(BackupError):
    """Processes have the database open that a backup should replace. `pids` are those that are known."""

    code = "target_in_use"

    def __init__(self, text: str, pids: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.pids = tuple(pids)


class TargetNotEmpty(BackupError):
    """The database that a backup should replace has messages, or cannot be read."""

    code = "target_not_empty"


class ProgramMissing(BackupError):
    """A program of the database's vendor is not installed, or is older than the server."""

    code = "program_missing"
