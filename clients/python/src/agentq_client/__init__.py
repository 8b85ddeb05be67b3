"""The Python client of the Agent Queue System.

`AgentQ` and `AsyncAgentQ` submit messages, follow their answers and control them. `events` has the types to `match` on,
`errors` the errors. httpx and the resources are imported with the first client, what is for asyncio when it is named.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import errors, events
from .client import AgentQ
from .core.replies import Reply
from .errors import AgentQError, APIError
from .events import StreamEvent
from .models.messages import Accepted, Message
from .streams import MessageStream
from .webhooks import verify_webhook

if TYPE_CHECKING:
    from .async_change_streams import AsyncChangeStream
    from .async_client import AsyncAgentQ
    from .async_streams import AsyncMessageStream
    from .change_streams import ChangeStream
else:
    LATE = {
        "AsyncAgentQ": ".async_client",
        "AsyncChangeStream": ".async_change_streams",
        "AsyncMessageStream": ".async_streams",
        "ChangeStream": ".change_streams",
    }

    def __getattr__(name: str) -> type:
        """Import what is not needed by all. Raises AttributeError for any other name."""
        if name not in LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(LATE[name], __name__), name)


__version__ = "0.2.0"

__all__ = [
    "APIError",
    "Accepted",
    "AgentQ",
    "AgentQError",
    "AsyncAgentQ",
    "AsyncChangeStream",
    "AsyncMessageStream",
    "ChangeStream",
    "Message",
    "MessageStream",
    "Reply",
    "StreamEvent",
    "errors",
    "events",
    "verify_webhook",
]
