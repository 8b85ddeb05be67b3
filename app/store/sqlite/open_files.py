"""Finds the processes that have a file open, where the system tells: Linux does so in /proc."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROCESSES = Path("/proc")

MAX_SHOWN = 5
"""The number of processes that a text names."""

MAX_COMMAND = 60
"""Characters of a command in a text."""


class Holder(NamedTuple):
    """A process that has a file open. `command` is empty if it cannot be read."""

    pid: int
    command: str


def holders_of(files: Sequence[Path]) -> Sequence[Holder]:
    """Return the other processes that have one of the files open, the lowest process id first.

    Processes of other users and other containers are missing, unless this process may see them.
    """
    wanted = set()
    for file in files:
        with suppress(OSError):
            wanted.add(_identity(file))
    own = os.getpid()
    found = (pid for pid in _processes() if pid != own and _has_open(pid, wanted))
    return [Holder(pid, _command(pid)) for pid in found]


def told(holders: Sequence[Holder]) -> str:
    """Return the processes as a text, such as `4711 (python -m app.main), 4712 (agentq worker)`."""
    shown = [f"{each.pid} ({each.command})" if each.command else str(each.pid) for each in holders[:MAX_SHOWN]]
    more = len(holders) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _processes() -> Iterator[int]:
    with suppress(OSError):
        yield from sorted(int(each.name) for each in PROCESSES.iterdir() if each.name.isdigit())


def _has_open(pid: int, wanted: set[tuple[int, int]]) -> bool:
    with suppress(OSError):  # it has ended, or belongs to another user
        for each in (PROCESSES / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if _identity(each) in wanted:
                    return True
    return False


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def _command(pid: int) -> str:
    """Return the beginning of a process's command, with the names of programs instead of their paths."""
    try:
        words = (PROCESSES / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    shown = " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in words).strip()
    return shown if len(shown) <= MAX_COMMAND else f"{shown[: MAX_COMMAND - 1]}…"
