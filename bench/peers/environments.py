"""An environment of its own for each queue that we are compared with, made when it is first asked for."""

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
"""In a complete environment: what is in it."""


class NotInstalled(Exception):
    """Why a queue cannot be run here."""


def installed(peer: Peer) -> Path:
    """The folder of its environment; made anew when other packages are asked for. Raises NotInstalled."""
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
    """The path of a program of the environment; `node` is the machine's own."""
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
