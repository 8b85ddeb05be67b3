"""The replies of the server. Fields of later servers are kept in `model_extra`.

A room is imported when one of its models is named, since models are a part of the time of an import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .access import (
        AuditRecord,
        Caller,
        Key,
        KeyIssued,
        KeyLimits,
        Quotas,
        Tenant,
        TenantLimits,
        Ticket,
        Token,
        TokensRevoked,
    )
    from .base import Model
    from .changes import Change, ChangePage, ChangesReset
    from .erasures import Erasure
    from .items import Item
    from .messages import (
        Accepted,
        Answered,
        Cancellation,
        Cancellations,
        CancelledQueued,
        FailedAttempt,
        Message,
        MessageDetails,
        MessageUsage,
        ModelCost,
        ModelUsage,
        Question,
        Regenerated,
        Reprioritized,
        RequeuedMessage,
        WaitingReason,
    )
    from .queue import (
        DeadLetter,
        DeadLetterGroup,
        Delivery,
        DeliveryTry,
        ProcessingMessage,
        Purged,
        QueuedMessage,
        QueuePaused,
        QueueState,
        Requeued,
        ServedAgent,
        Worker,
        WorkerLoad,
        WorkerRun,
    )
    from .server import (
        About,
        Agent,
        Alive,
        Check,
        ErrorCount,
        Finding,
        Health,
        LiveVersion,
        LiveWorkers,
        Point,
        QuotaUse,
        Report,
        Series,
        SeriesList,
        ServerNow,
        Setting,
        Statistics,
        Times,
        Unchecked,
        UsageRow,
        WindowTokens,
    )
    from .threads import Checkpoint, ForkSource, StateTask, StateUpdated, Thread, ThreadState
else:
    ROOMS = (".messages", ".threads", ".queue", ".server", ".access", ".erasures", ".items", ".changes", ".base")

    def __getattr__(name: str) -> type:
        """Import the room of a model. Raises AttributeError for any other name."""
        for room in ROOMS if name in __all__ else ():
            if hasattr(module := import_module(room, __name__), name):
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "About",
    "Accepted",
    "Agent",
    "Alive",
    "Answered",
    "AuditRecord",
    "Caller",
    "Cancellation",
    "Cancellations",
    "CancelledQueued",
    "Change",
    "ChangePage",
    "ChangesReset",
    "Check",
    "Checkpoint",
    "DeadLetter",
    "DeadLetterGroup",
    "Delivery",
    "DeliveryTry",
    "Erasure",
    "ErrorCount",
    "FailedAttempt",
    "Finding",
    "ForkSource",
    "Health",
    "Item",
    "Key",
    "KeyIssued",
    "KeyLimits",
    "LiveVersion",
    "LiveWorkers",
    "Message",
    "MessageDetails",
    "MessageUsage",
    "Model",
    "ModelCost",
    "ModelUsage",
    "Point",
    "ProcessingMessage",
    "Purged",
    "Question",
    "QueuePaused",
    "QueueState",
    "QueuedMessage",
    "QuotaUse",
    "Quotas",
    "Regenerated",
    "Report",
    "Reprioritized",
    "Requeued",
    "RequeuedMessage",
    "Series",
    "SeriesList",
    "ServedAgent",
    "ServerNow",
    "Setting",
    "StateTask",
    "StateUpdated",
    "Statistics",
    "Tenant",
    "TenantLimits",
    "Thread",
    "ThreadState",
    "Ticket",
    "Times",
    "Token",
    "TokensRevoked",
    "Unchecked",
    "UsageRow",
    "WaitingReason",
    "WindowTokens",
    "Worker",
    "WorkerLoad",
    "WorkerRun",
]
