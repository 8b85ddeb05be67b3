"""Commands on a terminal of their own, and what a person would see there."""

import contextlib
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence

import pyte

from tests.servers import ROOT

STARTED_ON_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from app.cli.main import main
main()
"""

SHELL = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execlp("bash", "bash", "--norc", "-i")
"""


class OnTerminal:
    """A command on a terminal of its own. `shown` is all that it wrote; `rows` are the screen's lines now.

    Without arguments it is a shell, whose jobs can be suspended.
    """

    def __init__(
        self, url: str, *arguments: str, columns: int, rows: int = 24, environment: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self.screen = pyte.HistoryScreen(columns, rows, history=1_000)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (rows, columns))
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTED_ON_TERMINAL if arguments else SHELL, *arguments],
            cwd=ROOT,
            env={"AGENTQ_URL": url, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(environment or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the end of the last process on the terminal
            while piece := os.read(self._master, 65_536):
                with self._lock:
                    self.shown += piece.decode(errors="replace")
                    self._stream.feed(piece)

    @property
    def rows(self) -> Sequence[str]:
        """Return the lines of the screen, without blanks at their ends."""
        with self._lock:
            return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """Return the lines of the screen in one text."""
        return "\n".join(self.rows)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def close(self) -> None:
        """End the command, if it runs."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._master)
