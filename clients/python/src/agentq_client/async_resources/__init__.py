"""The parts of `AsyncAgentQ` that have a name of their own. `resources` is the same for threads."""

from .access import AsyncAudit, AsyncKeys, AsyncTenants, AsyncTickets, AsyncTokens
from .erasures import AsyncErasures
from .items import AsyncItems
from .queue import AsyncDeadLetters, AsyncDeliveries, AsyncQueue, AsyncWorkers
from .server import AsyncAgents, AsyncChanges, AsyncServer, AsyncStatistics, AsyncUsage
from .storage import AsyncStorage
from .threads import AsyncThreads

__all__ = [
    "AsyncAgents",
    "AsyncAudit",
    "AsyncChanges",
    "AsyncDeadLetters",
    "AsyncDeliveries",
    "AsyncErasures",
    "AsyncItems",
    "AsyncKeys",
    "AsyncQueue",
    "AsyncServer",
    "AsyncStatistics",
    "AsyncStorage",
    "AsyncTenants",
    "AsyncThreads",
    "AsyncTickets",
    "AsyncTokens",
    "AsyncUsage",
    "AsyncWorkers",
]
