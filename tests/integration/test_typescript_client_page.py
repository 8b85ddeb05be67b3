"""The examples of the TypeScript client's pages compile, and run as they stand against a server."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.node_packages import DEADLINE_SECONDS, built, node
from tests.openai_stub import Answer, StubServer
from tests.pages import DOCS, ROOT, named

FOLDER = ROOT / "clients" / "typescript"
PROGRAMS = FOLDER / "node_modules" / ".bin"
PAGE = DOCS / "how-to" / "use-the-typescript-client.md"
README = FOLDER / "README.md"
PARIS = "The capital of France is Paris."
OPTIONS = {
    "extends": str(FOLDER / "tsconfig.json"),
    "compilerOptions": {"jsx": "react-jsx", "noPropertyAccessFromIndexSignature": False},
    "include": ["*.ts", "*.tsx"],
}
"""The options of the client itself, without one that is a matter of style."""

PRINTED = {
    "readme": (README, "tested: typescript client", f"{PARIS}\nLima."),
    "client": (PAGE, "tested: typescript client", f"{PARIS}\nLima."),
    "events": (PAGE, "tested: typescript events", f"{PARIS}\nThe answer is: {PARIS}\n"),
    "errors": (PAGE, "tested: typescript errors", "unknown_agent ["),
    "lists": (PAGE, "tested: typescript lists", "0 application/json\n200 {"),
    "changes": (PAGE, "tested: typescript changes", f"0 messages wait\n{PARIS}\n"),
    "token": (PAGE, "tested: typescript token", "user-42\n"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the client, with the examples as its modules."""
    built(FOLDER)
    folder = tmp_path_factory.mktemp("project")
    (folder / "node_modules").mkdir()
    for installed in ("@types", "react"):
        (folder / "node_modules" / installed).symlink_to(FOLDER / "node_modules" / installed)
    (folder / "node_modules" / "agentq-client").symlink_to(FOLDER)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps(OPTIONS))
    for name, (page, mark, _) in PRINTED.items():
        (folder / f"{name}.ts").write_text(named(page, mark))
    (folder / "Chat.tsx").write_text(named(PAGE, "file: Chat.tsx"))
    (folder / "receive.ts").write_text(named(PAGE, "file: receive.ts"))
    return folder


def run(project: Path, *command: str) -> str:
    """Return what a command prints in the project. Fails if it does not end with 0."""
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_its_examples_compile(project: Path) -> None:
    run(project, str(PROGRAMS / "tsc"))


async def test_its_examples_run(project: Path, serve: Serve, model: StubServer) -> None:
    server = await serve()

    for name in PRINTED:
        code = (project / f"{name}.ts").read_text().replace("http://localhost:8000", server.url)
        (project / f"{name}.run.mts").write_text(code)
    # One call takes the types away. With a loader, each of the processes would do so for itself.
    modules = [f"{name}.run.mts" for name in PRINTED]
    run(project, str(PROGRAMS / "esbuild"), *modules, "--outdir=.", "--out-extension:.js=.mjs", "--format=esm")

    for name, (_, _, printed) in PRINTED.items():
        model.replies.extend(Answer(text) for text in (PARIS, "Lima."))
        output = await asyncio.to_thread(run, project, node(), f"{name}.run.mjs")
        model.replies.clear()
        assert printed in output, name
