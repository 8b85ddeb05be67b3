"""The listening socket, and what a process of ours sets up."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Settings, misspelt_settings
from app.main import SEND_BUFFER_BYTES, listen
from tests.pages import ROOT


def test_accepted_connections_send_small_writes_at_once() -> None:
    """Without TCP_NODELAY a reply of two writes waits 40 ms for the reader's delayed acknowledgement."""
    listener = listen("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_accepted_connections_have_a_bounded_send_buffer() -> None:
    """A reader that reads nothing must not cost megabytes in the kernel, which doubles what it is asked for."""
    listener = listen("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES


@pytest.mark.parametrize("owns_process", [True, False])
def test_the_collector_passes_over_what_lives_as_long_as_the_process(owns_process: bool) -> None:
    """Nor does it look while the server is imported: once where it was 273 times."""
    program = f"""
import asyncio, gc
looks = []
gc.callbacks.append(lambda phase, _: looks.append(phase) if phase == "start" else None)
from app.main import create_app
print(len(looks) <= 2, gc.isenabled())
from app.config import Settings

async def main():
    app = create_app(Settings(database_url="memory://", worker_concurrency=0), owns_process={owns_process})
    async with app.router.lifespan_context(app):
        print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 700)

asyncio.run(main())
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert told.splitlines()[0] == "True True"
    assert told.splitlines()[-1] == f"{owns_process} {owns_process}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_QUEUE", "MAX_QUEUE_SIZE"),
        ("max_queue", "MAX_QUEUE_SIZE"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("MODEL", "MODEL_NAME"),
        ("CONCURRENCY", "WORKER_CONCURRENCY"),
        ("PROCESSING_TIMEOUT_SECONDS", "PROCESSING_TIMEOUT"),
    ],
)
def test_a_name_of_the_env_file_that_is_nearly_a_setting_is_known(tmp_path: Path, name: str, meant: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=3\n")
    assert misspelt_settings(str(tmp_path / ".env")) == {name: meant}


def test_settings_and_names_for_the_agents_are_not_taken_for_misspelt(tmp_path: Path) -> None:
    others = ["AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION", "ANTHROPIC_API_KEY", "TAVILY_API_KEY", "POSTGRES_PORT"]
    others += ["OPENAI_ORG_ID", "LANGSMITH_TRACING", "REDIS_URL", "DB_HOST", "LOG_FILE", "API_TOKEN", "max_queue_size"]
    names = [*(name.upper() for name in Settings.model_fields), *others]
    (tmp_path / ".env").write_text("".join(f"{name}=3\n" for name in names))
    assert misspelt_settings(str(tmp_path / ".env")) == {}
    assert misspelt_settings(str(tmp_path / "none")) == {}


def test_misspelt_names_are_warned_of_once_at_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_QUEUE=3\nLOGLEVEL=DEBUG\nDATABASE_URL=sqlite:///queue.db\n")
    program = [sys.executable, "-m", "app.cli", "migrate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    [warning] = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert warning.endswith("MAX_QUEUE (did you mean MAX_QUEUE_SIZE?), LOGLEVEL (did you mean LOG_LEVEL?)")
