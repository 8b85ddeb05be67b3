"""Shows the load of workers as columns of a table."""

from typing import TYPE_CHECKING

from .terminal import Column

if TYPE_CHECKING:
    from ..client.models import Worker

LOAD_COLUMNS = (Column("BUSY"), Column("MEMORY", least=100), Column("TOKENS/S", least=110))

MEGABYTE = 1_000_000


def load_cells(worker: "Worker") -> tuple[str, str, str]:
    """Return the busy slots, the memory and the rate of a worker, nothing for what it does not tell."""
    load = worker.load
    if load is None:
        return "", "", ""
    memory = "" if load.memory_bytes is None else f"{load.memory_bytes / MEGABYTE:.0f} MB"
    return str(load.busy), memory, f"{load.tokens_per_second:.1f}"
