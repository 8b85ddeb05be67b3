"""Processes of the real application that can be killed, stopped, drained and started again, for the price of a fork."""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from app.main import serve, work
from app.startup import run
from tests.chaos.agent import AGENTS, PROCESS_VARIABLE
from tests.servers import DEADLINE_SECONDS, SETTING_NAMES, free_port, until

PRELOADED = [
    "app.main",
    "app.metrics",
    "app.agents.langgraph",
    "app.checkpoints.sqlite",
    "app.checkpoints.postgres",
    "app.checkpoints.redis",
    "app.store.sqlite.store",
    "app.store.postgres.store",
    "app.store.redis.store",
    "tests.chaos.agent",
    "tests.chaos.test_chaos",
    "tests.chaos.test_failpoints",
    "tests.chaos.frozen",
]
"""Modules that a process of a run imports, with those of its tampering."""

TELL_STACKS = signal.SIGUSR1
"""Has a process write into its log what its threads are at."""

Tampering = Callable[[], None]


def untouched() -> None:
    """No tampering."""


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _live(kind: str, environment: dict[str, str], log: Path, tamper: Tampering) -> None:
    """In the new process: become `python -m app.main` or `python -m app.worker`."""
    for name in SETTING_NAMES:
        os.environ.pop(name, None)
    os.environ.update(environment)
    os.chdir(log.parent)  # no .env of the checkout
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    faulthandler.register(TELL_STACKS, all_threads=True)
    tamper()
    run(serve if kind == "api" else work)


class ChaosProcess:
    """An API or worker process through all its lives; `life` names the present one."""

    def __init__(
        self, kind: str, name: str, folder: Path, *, tamper: Tampering = untouched, **environment: str
    ) -> None:
        self.kind = kind
        self.name = name
        self.log = folder / f"{name}.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tamper = tamper
        self._environment = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "AGENTS": AGENTS,
            "KEEPALIVE_INTERVAL": "1",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._lives = 0
        self._process: BaseProcess | None = None

    @property
    def life(self) -> str:
        """Unique in a run; the agents sign with it."""
        return f"{self.name}.{self._lives}"

    @property
    def exit_code(self) -> int | None:
        """None while it lives; a negative signal as usual."""
        assert self._process is not None, "not started"
        return self._process.exitcode

    def start(self) -> None:
        """Begin the next life."""
        assert self._process is None or self._process.exitcode is not None, f"{self.name} is still alive"
        self._lives += 1
        environment = {**self._environment, PROCESS_VARIABLE: self.life}
        self._process = _context().Process(
            target=_live, args=(self.kind, environment, self.log, self.tamper), name=self.name, daemon=True
        )
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it is gone already."""
        if self._process is not None and self._process.exitcode is None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def gone(self, deadline: float = DEADLINE_SECONDS) -> int:
        """Wait for its end; the exit code."""
        await until(lambda: self.exit_code is not None, f"{self.life} ends; its log: {self.log}", deadline)
        assert self.exit_code is not None
        return self.exit_code

    async def kill(self) -> None:
        """kill -9."""
        self.send(signal.SIGKILL)
        await self.gone()

    def close(self) -> None:
        """End it with its test."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None
