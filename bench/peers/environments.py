"""A separate environment for each queue that we are compared with, made at its first use."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers.catalogue import Peer

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".peers"
INSTALL_SECONDS = 300
STAMP = "installed.json"
"""A file in a complete environment that lists its packages."""


class NotInstalled(Exception):
    """A queue cannot run on this machine; the text says why."""


def installed(peer: Peer) -> Path:
    """Return the folder of a queue's environment. Make it again if the packages changed. Raises NotInstalled."""
    folder = ENVIRONMENTS / peer.environment
    stamp = folder / STAMP
    wanted = json.dumps(peer.packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        try:
            _install(peer, folder)
        except FileNotFoundError as error:
            raise NotInstalled(f"there is no {error.filename}") from error
        except subprocess.SubprocessError as error:
            raise NotInstalled("its packages could not be installed") from error
        stamp.write_text(wanted)
    if peer.environment == "bullmq":
        for program in (HERE / "bullmq").iterdir():
            shutil.copy(program, folder)
    return folder


def program(peer: Peer, folder: Path, name: str) -> str:
    """Return the path of a program in the environment; `node` comes from the machine."""
    return name if name == "node" else str(folder / "bin" / name)


def _install(peer: Peer, folder: Path) -> None:
    if peer.environment == "bullmq":
        shutil.copytree(HERE / "bullmq", folder)
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
        return
    uv = str(Path(sys.executable).parent / "uv")
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    _run(uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *peer.packages)


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, timeout=INSTALL_SECONDS)
