"""Brings what the dashboard's pages load from others, and our own client: `make vendor`.

The packages are those of the lock file beside this module, whose hashes npm checks. The pages load them as they are: at
most a line is added that makes a script a module.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.node_packages import DEADLINE_SECONDS, built, installed, program
from tests.servers import ROOT

FOLDER = ROOT / "tests" / "dashboard"
CLIENT = ROOT / "clients" / "typescript"
VENDOR = ROOT / "app" / "dashboard" / "static" / "vendor"

CLIENT_FILE = "agentq-client.js"
BOTH_PARTS = 'export * from "./dist/index.js"; export * from "./dist/operators.js";'

SOURCE_MAP = re.compile(r"//# sourceMappingURL=\S+")
"""Names a file that is not brought. Browsers ask for it when their tools are open."""


class Source(NamedTuple):
    """A file of a package. `export` is the line that makes a script a module."""

    package: str
    path: str
    export: str = ""


FILES = {
    "preact.js": Source("preact", "dist/preact.mjs"),
    "preact-hooks.js": Source("preact", "hooks/dist/hooks.mjs"),
    "signals.js": Source("@preact/signals", "dist/signals.mjs"),
    "signals-core.js": Source("@preact/signals-core", "dist/signals-core.mjs"),
    "htm.js": Source("htm", "dist/htm.mjs"),
    "marked.js": Source("marked", "lib/marked.esm.js"),
    "dompurify.js": Source("dompurify", "dist/purify.min.js", "export default globalThis.DOMPurify;"),
    "uplot.js": Source("uplot", "dist/uPlot.iife.min.js", "export default uPlot;"),
    "uplot.css": Source("uplot", "dist/uPlot.min.css"),
}


def bring(to: Path) -> None:
    """Write the files, with the licences of their packages, to a folder that is empty or not there."""
    installed(FOLDER)
    (to / "licences").mkdir(parents=True)
    for name, source in FILES.items():
        package = FOLDER / "node_modules" / source.package
        code = SOURCE_MAP.sub("", (package / source.path).read_text()).rstrip()
        (to / name).write_text("\n".join(filter(None, [code, source.export])) + "\n")
        shutil.copyfile(package / "LICENSE", to / "licences" / f"{licence_of(source.package)}.txt")
    _bring_client(to / CLIENT_FILE)


def licence_of(package: str) -> str:
    """Return the name of the file with a package's licence, without its suffix."""
    return package.removeprefix("@").replace("/", "-")


def _bring_client(to: Path) -> None:
    built(CLIENT)
    options = ["--bundle", "--minify", "--format=esm", "--platform=browser", "--target=es2022", f"--outfile={to}"]
    command = [program(CLIENT, "esbuild"), *options, "--log-level=error"]
    subprocess.run(command, input=BOTH_PARTS, text=True, cwd=CLIENT, check=True, timeout=DEADLINE_SECONDS)


def main() -> None:
    """Replace the committed files."""
    with tempfile.TemporaryDirectory() as folder:
        bring(Path(folder, "vendor"))
        shutil.rmtree(VENDOR, ignore_errors=True)
        shutil.copytree(Path(folder, "vendor"), VENDOR)


if __name__ == "__main__":
    main()
