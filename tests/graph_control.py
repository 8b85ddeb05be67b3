"""How a test steers the graphs of `tests.graphs` and sees what they did, in this process or in another: by files."""

import os
from collections import Counter
from pathlib import Path

FOLDER_VARIABLE = "TEST_GRAPHS_FOLDER"


class GraphControl:
    """The folder that a test and its graphs share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_environment(cls) -> "GraphControl":
        """Return the control that the environment names. Graphs call this."""
        return cls(Path(os.environ[FOLDER_VARIABLE]))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables for a process whose graphs this object steers."""
        return {FOLDER_VARIABLE: str(self._folder)}

    def hold(self, node: str) -> None:
        """Have the node wait from its next run on."""
        (self._folder / f"{node}.hold").touch()

    def release(self, node: str) -> None:
        """Let the node go on."""
        (self._folder / f"{node}.hold").unlink()
        (self._folder / f"{node}.waiting").unlink(missing_ok=True)

    def release_all(self) -> None:
        """Let all nodes go on."""
        for file in (*self._folder.glob("*.hold"), *self._folder.glob("*.waiting")):
            file.unlink(missing_ok=True)

    def held(self, node: str) -> bool:
        """Whether the node is to wait."""
        return (self._folder / f"{node}.hold").exists()

    def wait_begins(self, node: str) -> None:
        """Note that the node waits. Graphs call this."""
        (self._folder / f"{node}.waiting").touch()

    def waits(self, node: str) -> bool:
        """Whether the node has come to its waiting."""
        return (self._folder / f"{node}.waiting").exists()

    def crash(self, node: str) -> None:
        """Have the node end its process, once."""
        (self._folder / f"{node}.crash").touch()

    def crash_is_due(self, node: str) -> bool:
        """Return True once after `crash`. Graphs call this."""
        try:
            (self._folder / f"{node}.crash").unlink()
        except FileNotFoundError:
            return False
        return True

    def record(self, node: str) -> None:
        """Note a run of the node. Graphs call this."""
        with (self._folder / "runs").open("a") as runs:
            runs.write(f"{node}\n")

    @property
    def runs(self) -> Counter[str]:
        """How often each node has run."""
        path = self._folder / "runs"
        return Counter(path.read_text().split() if path.exists() else ())
