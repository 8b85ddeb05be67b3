"""The examples of the TypeScript client's pages compile, and run as they stand against a server."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.node_packages import built, npm
from tests.openai_stub import Answer, StubServer
from tests.pages import DOCS, ROOT, named

FOLDER = ROOT / "clients" / "typescript"
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
    "token": (PAGE, "tested: typescript token", "user-42\n"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the client, with the examples as its modules."""
    built(FOLDER)
    folder = tmp_path_factory.mktemp("project")
    (folder / "node_modules").mkdir()
    for installed in ("tsx", "typescript", "@types", "react"):
        (folder / "node_modules" / installed).symlink_to(FOLDER / "node_modules" / installed)
    (folder / "node_modules" / ".bin").symlink_to(FOLDER / "node_modules" / ".bin")
    (folder / "node_modules" / "agentq-client").symlink_to(FOLDER)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps(OPTIONS))
    for name, (page, mark, _) in PRINTED.items():
        (folder / f"{name}.ts").write_text(named(page, mark))
    (folder / "Chat.tsx").write_text(named(PAGE, "file: Chat.tsx"))
    (folder / "receive.ts").write_text(named(PAGE, "file: receive.ts"))
    return folder


def test_its_examples_compile(project: Path) -> None:
    npm(project, "exec", "--", "tsc")


async def test_its_examples_run(project: Path, serve: Serve, model: StubServer) -> None:
    server = await serve()

    async def run(name: str) -> str:
        code = (project / f"{name}.ts").read_text().replace("http://localhost:8000", server.url)
        (project / f"{name}.run.mts").write_text(code)
        return await asyncio.to_thread(npm, project, "exec", "--", "tsx", f"{name}.run.mts")

    for name, (_, _, printed) in PRINTED.items():
        model.replies.extend(Answer(text) for text in (PARIS, "Lima."))
        output = await run(name)
        model.replies.clear()
        assert printed in output, name
