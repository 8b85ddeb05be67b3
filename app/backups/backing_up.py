"""Makes a backup, and puts one back."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from .. import __version__
from ..config import Settings
from ..errors.backups import BackupExists, BackupMisplaced, BackupUnfit, TargetNotEmpty
from ..store.copies import Copier, Progress
from ..text import rfc3339
from .archive import Description, Part, names_of, opened_archive, write_archive
from .engines import copiers_of


def back_up(settings: Settings, file: Path, *, force: bool, progress: Progress) -> Description:
    """Copy the queue and the agents' memory into a new file, while servers go on. Return what is in it.

    The file has its name only when it is whole, checked and on the disk. `force` lets it replace another file. Raises
    AgentQueueError, OSError.
    """
    copiers = copiers_of(settings)
    with new_file(file, copiers, force=force) as whole:
        parts, files = [], {}
        for name, copier in copiers.items():
            copied = whole.with_name(name)
            version = copier.copy(copied, progress)
            parts.append(Part(name=name, engine=copier.engine, schema_version=version, file=f"{name}.{copier.engine}"))
            files[parts[-1].file] = copied
        description = Description(program=__version__, created_at=rfc3339(datetime.now(UTC)), parts=tuple(parts))
        write_archive(whole, description, files)
    return description


@contextmanager
def new_file(file: Path, copiers: Mapping[str, Copier], *, force: bool) -> Iterator[Path]:
    """Return a path in a temporary folder. What the block writes there becomes `file` when it ends well.

    `force` lets it replace another file, but none of the databases of `copiers`. Raises BackupExists, OSError.
    """
    file = file.resolve()
    _refuse_name(file, copiers, force=force)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name[:100]}.") as folder:
        whole = Path(folder, "whole")
        whole.touch(0o600)
        yield whole
        _publish(whole, file, force=force)


def restore(settings: Settings, file: Path, *, force: bool, progress: Progress) -> Description:
    """Put a backup back. Return what was in it. `force` lets it replace a database that has messages.

    Nothing is changed before the whole backup was read and checked. Raises AgentQueueError, OSError.
    """
    copiers = copiers_of(settings)
    with opened_archive(file) as archive:
        description = archive.description
        _refuse_unfit(description, copiers)
        with _room(copiers) as folder:
            files = archive.unpack(folder)
            for name, copied in files.items():
                copiers[name].check(copied)
            _refuse_targets(copiers, force=force)
            for name, copied in files.items():
                copiers[name].restore(copied, progress)
    return description


def _refuse_name(file: Path, copiers: Mapping[str, Copier], *, force: bool) -> None:
    """Raise BackupExists or OSError if there can be no new file of this name."""
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder. Name a file in it", str(file))
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(file.parent))
    if not file.exists():
        return
    if not file.is_file():
        raise BackupMisplaced(f"{file} is a device or a pipe. Name a file")
    if any(copier.owns(file) for copier in copiers.values()):
        raise BackupMisplaced(f"{file} belongs to the database itself. Name another file")
    if not force:
        raise BackupExists(f"There is a file {file} already. Name another one, or replace it with --force")


def _publish(whole: Path, file: Path, *, force: bool) -> None:
    """Give a finished file its name, and wait until the name is on the disk. Without `force`, replace no file."""
    if force:
        whole.replace(file)
    else:
        try:
            os.link(whole, file)
        except FileExistsError:
            raise BackupExists(f"There is a file {file} now. Name another one, or replace it with --force") from None
        except OSError:  # a file system without hard links
            _refuse_name(file, {}, force=False)
            whole.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refuse_unfit(description: Description, copiers: Mapping[str, Copier]) -> None:
    """Raise BackupUnfit if a part has no place in these databases, or a database gets none."""
    engines = {part.name: part.engine for part in description.parts}
    for name, engine in engines.items():
        variable = "CHECKPOINT_URL" if name == "memory" else "DATABASE_URL"
        if name in copiers and copiers[name].engine != engine:
            raise BackupUnfit(f"{variable}: the backup is of {engine}, expected a database of it")
    if names_of(description.parts) != copiers.keys():
        kept = "apart from the queue" if "memory" in engines else "in the queue's database, or not at all"
        raise BackupUnfit(f"CHECKPOINT_URL: the backup is of a queue whose agents' memory was kept {kept}")


def _refuse_targets(copiers: Mapping[str, Copier], *, force: bool) -> None:
    """Raise TargetNotEmpty if a backup would replace messages. A target in use is refused in any case."""
    for name, copier in copiers.items():
        target = copier.look()
        variable = "CHECKPOINT_URL" if name == "memory" else "DATABASE_URL"
        if target.damage and not force:
            raise TargetNotEmpty(f"{variable}: {target.damage} With --force it is moved aside and replaced")
        if target.has_messages and not force:
            raise TargetNotEmpty(f"{variable}: the database has messages. With --force they are deleted")


@contextmanager
def _room(copiers: Mapping[str, Copier]) -> Iterator[Path]:
    """Make a temporary folder, on the disk of the database if that is a file."""
    folder = next((copier.folder for copier in copiers.values() if copier.folder), None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".restore.") as name:
        yield Path(name)
