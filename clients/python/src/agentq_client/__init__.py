"""The Python client of the Agent Queue System.

`AgentQ` and `AsyncAgentQ` submit messages, follow their answers and control them. `events` has the types to `match` on,
`errors` the errors. httpx is imported when the first client is made.
"""

from . import errors, events
from .async_change_streams import AsyncChangeStream
from .async_client import AsyncAgentQ
from .async_streams import AsyncMessageStream
from .change_streams import ChangeStream
from .client import AgentQ
from .core.replies import Reply
from .errors import AgentQError, APIError
from .events import StreamEvent
from .models import Accepted, Message
from .streams import MessageStream
from .webhooks import verify_webhook

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
