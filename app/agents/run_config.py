"""Makes the config of a run from what its message gives. Needs no LangGraph."""

from typing import Any

from .base import AgentTask

TURN_AFTER = "turn_after"
"""In a run's metadata: the id of the last message before the run, for runs that add no message of their own."""

RESERVED = ("__", "checkpoint", "langgraph_", "lc_", "ls_")
"""Beginnings of keys that LangGraph and LangChain read in a config. A message cannot set them."""

SUBJECT = "subject"
"""In a run's `configurable`: the end user to whom the message belongs. A message cannot set it."""

RESERVED_NAMES = frozenset({"thread_id", "run_id", "source", "step", "parents", TURN_AFTER})


def config_of(task: AgentTask) -> dict[str, Any]:
    """Return the config of a run in LangChain's form. The keys of this server win over those of the message."""
    given = task.given.config
    config: dict[str, Any] = {
        "configurable": {
            **{key: value for key, value in given.configurable.items() if not (_is_reserved(key) or key == SUBJECT)},
            "thread_id": task.memory_key,
            "run_id": task.message_id,
            **({} if task.subject is None else {SUBJECT: task.subject}),
        },
        "metadata": {key: value for key, value in task.metadata.items() if not _is_reserved(key)},
    }
    if given.tags:
        config["tags"] = list(given.tags)
    if given.recursion_limit is not None:
        config["recursion_limit"] = given.recursion_limit
    return config


def _is_reserved(key: str) -> bool:
    return key in RESERVED_NAMES or key.startswith(RESERVED)
