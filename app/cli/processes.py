"""Commands that run a process until it is stopped."""

from .commands import group
from .settings_help import EPILOG

app = group()


@app.command(epilog=EPILOG)
def serve() -> None:
    """Take messages, show streams and run messages (WORKER_CONCURRENCY=0: run none)."""
    from ..main import serve
    from ..startup import run

    run(serve)


@app.command(epilog=EPILOG)
def worker() -> None:
    """Run messages only, without HTTP."""
    from ..main import work
    from ..startup import run

    run(work)
