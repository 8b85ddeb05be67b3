"""Agent Queue System: a durable HTTP message queue for AI agents."""

import os

# Checkpoints are msgpack. Outside strict mode, a forged row can have any class instantiated (CVE-2026-28277). LangGraph
# reads the variable once, when it is imported, so set it before any other module of this package runs.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

__version__ = "0.2.0"
