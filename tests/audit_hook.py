"""Notes what this process imports, compiles, executes, unpickles, opens or starts, by Python's audit events."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

CODE = frozenset(
    (
        "import",
        "exec",
        "compile",
        "code.__new__",
        "marshal.loads",
        "pickle.find_class",
        "ctypes.dlopen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "subprocess.Popen",
    )
)
"""Events of code that comes into this process, and of other programs."""

FILES = frozenset(("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "shutil.rmtree", "sqlite3.connect"))


class Audited(NamedTuple):
    """An event with the text of its first argument."""

    event: str
    subject: str


class _Notes:
    """The list that the hook writes to. A hook cannot be removed, so it is added once and does nothing in between."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.found: list[Audited] = []
        self.is_added = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in self.wanted:
            self.found.append(Audited(event, str(arguments[0]) if arguments else ""))


_notes = _Notes()


@contextmanager
def audited(events: frozenset[str] = CODE) -> Iterator[list[Audited]]:
    """Note these events of all threads within the block."""
    if not _notes.is_added:
        sys.addaudithook(_notes.hook)
        _notes.is_added = True
    _notes.found = []
    _notes.wanted = events
    try:
        yield _notes.found
    finally:
        _notes.wanted = frozenset()
