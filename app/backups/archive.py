"""The file of a backup: a tar archive that any tar can unpack.

Its first member describes it, its last one has the SHA-256 of all others in the form of `sha256sum`. A file that is cut
off anywhere therefore shows it.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors.backups import BackupDamaged

DESCRIPTION = "agentq-backup.json"
SUMS = "sha256sums"
CHUNK = 1024 * 1024
MAX_TEXT_BYTES = 64 * 1024
"""Maximum size of the first and the last member, which are read into memory."""


class Part(BaseModel):
    """One database in a backup. `schema_version` is 0 for the agents' memory."""

    model_config = ConfigDict(frozen=True)

    name: Literal["queue", "memory"]
    engine: str
    schema_version: int
    file: str


class Description(BaseModel):
    """The first member of a backup. `created_at` is a time of RFC 3339."""

    model_config = ConfigDict(frozen=True)

    format: Literal["agentq-backup"] = "agentq-backup"
    version: Literal[1] = 1
    program: str
    created_at: str
    parts: tuple[Part, ...]


class _Summing(io.RawIOBase):
    """Reads a file and sums what was read. tarfile calls nothing but `read`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sum.update(data)
        return data


def write_archive(to: Path, description: Description, files: Mapping[str, Path]) -> None:
    """Write an archive into an empty file, and wait until it is on the disk.

    Deletes each of `files` when it is in the archive.
    """
    sums: list[str] = []
    with to.open("r+b") as output:
        with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, DESCRIPTION, io.BytesIO(description.model_dump_json(indent=1).encode() + b"\n"), sums)
            for name, file in files.items():
                with file.open("rb") as content:
                    _add(archive, name, content, sums)
                file.unlink()
            _add(archive, SUMS, io.BytesIO("".join(sums).encode()), sums)
        output.flush()
        os.fsync(output.fileno())


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], sums: list[str]) -> None:
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, os.SEEK_END)
    member.mode = 0o600
    content.seek(0)
    summing = _Summing(content)
    archive.addfile(member, summing)
    sums.append(f"{summing.sum.hexdigest()}  {name}\n")


class Archive:
    """An open backup, whose description was read."""

    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self._path = path
        self._archive = archive
        self._sums: list[str] = []
        self.description = self._read_description()

    def unpack(self, folder: Path) -> Mapping[str, Path]:
        """Write the databases into a folder. Return them by the name of their part.

        Raises BackupDamaged unless all that was written is there. Then the databases are still to be checked.
        """
        found: dict[str, Path] = {}
        for part in self.description.parts:
            member = self._next(part.file)
            found[part.name] = to = folder / f"{part.name}.part"
            with self._content(member) as content, to.open("xb") as output:
                while data := content.read(CHUNK):
                    output.write(data)
            self._sums.append(f"{content.sum.hexdigest()}  {part.file}\n")
        if self._text(self._next(SUMS)) != "".join(self._sums).encode():
            raise BackupDamaged(f"The backup {self._path} is damaged: its content differs from its checksums")
        if self._path.stat().st_size != _rounded(self._archive.offset + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE):
            raise self._cut()
        return found

    def _read_description(self) -> Description:
        member = self._next(DESCRIPTION)
        text = self._text(member)
        self._sums.append(f"{hashlib.sha256(text).hexdigest()}  {DESCRIPTION}\n")
        try:
            return Description.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise BackupDamaged(
                f"The backup {self._path} has a description that this version cannot read ({where}). A newer version "
                "may have made it"
            ) from None

    def _next(self, name: str) -> tarfile.TarInfo:
        """Return the next member, which must have this name."""
        member = self._archive.next()
        if member is None:
            raise self._cut()
        if member.name != name or not member.isreg():
            raise BackupDamaged(
                f"{self._path} is no backup of agentq: expected {name} in it, got {member.name[:100]!r}"
            )
        return member

    def _text(self, member: tarfile.TarInfo) -> bytes:
        if member.size > MAX_TEXT_BYTES:
            raise BackupDamaged(f"The backup {self._path} is damaged: {member.name} is too long")
        with self._content(member) as content:
            return content.read()

    @contextmanager
    def _content(self, member: tarfile.TarInfo) -> Iterator[_Summing]:
        content = self._archive.extractfile(member)
        assert content is not None, "members are regular files"
        with content:
            yield _Summing(content)

    def _cut(self) -> BackupDamaged:
        return BackupDamaged(f"The backup {self._path} is cut off. Copy it again, or use another one")


def _rounded(size: int, to: int) -> int:
    return -(-size // to) * to


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open a backup and read its description. Raises BackupDamaged, OSError."""
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
                yield Archive(path, archive)
        except tarfile.TarError as error:
            raise BackupDamaged(
                f"{path} is no backup of agentq, or is cut off: {error}. Name a file that `agentq backup` has made"
            ) from error


def names_of(parts: Sequence[Part]) -> frozenset[str]:
    """Return the names of parts."""
    return frozenset(part.name for part in parts)
