"""Node.js in tests: packages installed from their lock file, once for all processes that run tests side by side."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

DEADLINE_SECONDS = 100


def node(program: str = "node") -> str:
    """Return the path of a program of Node.js. Fails if it is not installed."""
    found = shutil.which(program)
    assert found is not None, "Node.js with npm has to be installed for this test"
    return found


def program(folder: Path, name: str) -> str:
    """Return the path of a program of the folder's packages. To start it by npx takes several times as long."""
    return str(folder / "node_modules" / ".bin" / name)


def npm(folder: Path, *arguments: str, **environment: str) -> str:
    """Run npm in a folder and return what it printed. Fails if it does not end with 0."""
    done = subprocess.run(
        [node("npm"), *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "CI": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def installed(folder: Path) -> None:
    """Install exactly what the lock file of the folder says, unless that was done."""
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    marker = folder / "node_modules" / ".installed"
    with folder.joinpath("package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != wanted:
            npm(folder, "ci", "--no-audit", "--no-fund")
            marker.write_text(wanted)


def built(folder: Path) -> None:
    """Install the packages of the folder and build it, unless that was done."""
    installed(folder)
    sources = sorted([*(folder / "src").rglob("*.ts"), *folder.glob("tsconfig*.json"), folder / "package.json"])
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    marker = folder / "node_modules" / ".built"
    with folder.joinpath("package.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "dist").exists() or not marker.exists() or marker.read_text() != wanted:
            npm(folder, "run", "build")
            marker.write_text(wanted)
