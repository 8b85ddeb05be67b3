"""The commands `agentq queue …`."""

from typing import Annotated

import typer

from .commands import group
from .session import Session, asks_server
from .terminal import Column

app = group()


@app.command()
@asks_server
def show(
    session: Session, *, limit: Annotated[int, typer.Option(min=1, max=100, help="How many messages to show.")] = 10
) -> int:
    """Show the queue in numbers, what runs, and what comes next."""
    queue = session.client.queue.get(limit=limit)
    terminal = session.terminal
    if terminal.as_json:
        terminal.record(queue.model_dump(mode="json"))
        return 0
    names = ("queued", "processing", "interrupted", "completed", "failed", "cancelled")
    totals = [(name, f"{getattr(queue, f'total_{name}'):,}") for name in names]
    terminal.fields([("queue", "paused" if queue.paused else "open"), *totals])
    for title, messages in (("RUNNING", queue.processing_messages), ("NEXT", queue.queued_messages)):
        if messages:
            rows = [(each.id, each.priority, each.user_message) for each in messages]
            terminal.line("")
            terminal.table((Column(title), Column("PRIORITY", least=75), Column("MESSAGE", is_long=True)), rows)
    return 0


@app.command()
@asks_server
def pause(session: Session) -> int:
    """Start no more messages. Those that run go on."""
    session.show(session.client.queue.pause(), "The queue is paused.")
    return 0


@app.command()
@asks_server
def resume(session: Session) -> int:
    """Start messages again."""
    session.show(session.client.queue.resume(), "The queue is open.")
    return 0
