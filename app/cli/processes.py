"""Commands that run a process until it is stopped."""

from ..main import serve, work
from .command import Command

COMMANDS = (
    Command("serve", serve, "take messages, show streams and run messages (WORKER_CONCURRENCY=0: run none)"),
    Command("worker", work, "run messages only, without HTTP"),
)
