"""Says the errors of commands that write or read a file of a queue."""

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors.backups import BackupError, BackupExists, BackupMisplaced, TargetInUse, TargetNotEmpty
from ..errors.transfers import ExportDamaged
from .failures import FAILED, NOT_FOUND, Failure, Place
from .store_failures import explain

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain_file(error: Exception, verb: str, file: Path) -> Failure:
    """Return what an error of a command with a file means to the person at the terminal."""
    match error:
        case BackupError() | ExportDamaged():
            return Failure(error.code, str(error), _fix(error, verb, file))
        case OSError(errno=number) if number in FULL:
            where = shlex.quote(str(file.parent))
            return Failure("disk_full", f"{error.strerror}. Nothing was changed", f"df -h {where}")
        case OSError():
            where = shlex.quote(str(error.filename or file))
            is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            return Failure(
                "file_unusable", f"{where}: {error.strerror or error}", f"ls -ld {where}",
                exit_code=NOT_FOUND if is_missing else FAILED,
            )  # fmt: skip
    return explain(error, Place(verb))


def _fix(error: BackupError | ExportDamaged, verb: str, file: Path) -> str:
    """Return the command that helps most people after this error."""
    match error:
        case TargetInUse(pids=pids) if pids:
            return f"kill {' '.join(map(str, pids))}"  # servers and workers then stop in good order
        case BackupMisplaced():
            return f"agentq {verb} --help"
        case BackupExists():
            return shlex.join(["agentq", verb, str(file), "--force"])
        case TargetNotEmpty() if verb == "restore":
            return shlex.join(["agentq", verb, str(file), "--force"])
    return f"agentq {verb} --help"


@contextmanager
def explained(verb: str, file: Path) -> Iterator[None]:
    """Turn the errors of a block into Failures."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        raise explain_file(error, verb, file) from error
