"""Agent Queue System: a durable HTTP message queue for AI agents."""

import os

# Checkpoints hold msgpack; outside strict mode a forged row can name any class to be built (CVE-2026-28277). LangGraph
# reads this once, when it is imported, so it has to be set before anything else of this package runs.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

__version__ = "0.2.0"
