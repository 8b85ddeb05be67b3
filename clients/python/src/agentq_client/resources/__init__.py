"""The parts of `AgentQ` that have a name of their own. `async_resources` is the same for asyncio."""

from .access import Audit, Keys, Tenants, Tickets, Tokens
from .erasures import Erasures
from .items import Items
from .queue import DeadLetters, Deliveries, Queue, Workers
from .server import Agents, Changes, Server, Statistics, Usage
from .storage import Storage
from .threads import Threads

__all__ = [
    "Agents",
    "Audit",
    "Changes",
    "DeadLetters",
    "Deliveries",
    "Erasures",
    "Items",
    "Keys",
    "Queue",
    "Server",
    "Statistics",
    "Storage",
    "Tenants",
    "Threads",
    "Tickets",
    "Tokens",
    "Usage",
    "Workers",
]
