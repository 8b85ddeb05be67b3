"""Starts the server many times for the price of one import: `python -m tests.forked_starts`, cases on stdin.

Reads a JSON array of environments, runs `python -m app.main`'s last line in a forked process for each, one after the
other, and prints a JSON array of exit codes and outputs. A start that does not end by itself is killed (code -9).
"""

import json
import os
import signal
import sys
import tempfile

from app.main import serve
from app.startup import run

DEADLINE_SECONDS = 20


def start(environment: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            code = 0
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(DEADLINE_SECONDS)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.environ.update(environment)
                run(serve)
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:  # noqa: BLE001  what Python itself would print
                sys.excepthook(*sys.exc_info())
                code = 1
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode()


if __name__ == "__main__":
    sys.stdout.write(json.dumps([start(environment) for environment in json.load(sys.stdin)]))
