"""The commands `agentq workers …`."""

from typing import Annotated

import typer

from .commands import ListsByDefault, group
from .session import Session, asks_server
from .terminal import Column, jsonable
from .texts import age
from .worker_load import LOAD_COLUMNS, load_cells

app = group(ListsByDefault)

WORKERS = (
    Column("ID", is_long=True), Column("STATE"), Column("HOST", least=75), Column("PID", least=90), Column("SLOTS"),
    Column("STARTED", least=75), Column("LAST BEAT"), *LOAD_COLUMNS,
)  # fmt: skip

WorkerId = Annotated[str, typer.Argument(metavar="ID", help="The id of a worker.", show_default=False)]


@app.command("list")
@asks_server
def list_workers(session: Session) -> int:
    """List the live workers."""
    found = session.client.workers.list()
    if session.terminal.as_json:
        for each in found:
            session.terminal.record(jsonable(each))
    elif found:
        rows = [
            (
                each.id, each.state, each.host, str(each.pid), str(each.slots), age(each.started_at),
                age(each.last_beat), *load_cells(each),
            )
            for each in found
        ]  # fmt: skip
        session.terminal.table(WORKERS, rows)
    else:
        session.terminal.note("No live workers. Start one: agentq worker")
    return 0


@app.command()
@asks_server
def drain(session: Session, worker_id: WorkerId) -> int:
    """Have a worker start no more messages and end its runs. Its process goes on."""
    worker = session.client.workers.drain(worker_id)
    session.show(worker, f"{worker_id} is {worker.state}")
    return 0


@app.command()
@asks_server
def resume(session: Session, worker_id: WorkerId) -> int:
    """Let a drained worker start messages again."""
    session.show(session.client.workers.resume(worker_id), f"{worker_id} starts messages again")
    return 0
