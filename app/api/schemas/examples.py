"""Values and configuration of the examples in the API's description."""

from typing import Any

from pydantic import ConfigDict

MESSAGE_ID = "550e8400-e29b-41d4-a716-446655440000"


THREAD_ID = "a2e40f10-9f5a-4a54-9fb4-3b9f861fc2c0"


CREATED, STARTED, ENDED = "2024-01-15T10:30:00.000Z", "2024-01-15T10:30:05.000Z", "2024-01-15T10:30:15.000Z"


SOON = {"code": "starting_soon", "message": "It is the next to be taken."}


ACCEPTED_EXAMPLE: dict[str, Any] = {
    "message_id": MESSAGE_ID,
    "state": "queued",
    "queue_position": 0,
    "created_at": CREATED,
    "thread_id": THREAD_ID,
    "agent": "chat",
    "estimated_start_at": CREATED,
    "waiting_reason": SOON,
    "run_at": None,
}


USED: dict[str, Any] = {
    "calls": 2,
    "input_tokens": 1300,
    "cached_tokens": 1024,
    "output_tokens": 240,
    "reasoning_tokens": 0,
    "total_tokens": 1540,
    "cost": "0.00437",
    "cost_complete": True,
}
"""An example of tokens and their cost."""

STATUS_EXAMPLE: dict[str, Any] = {
    "message_id": MESSAGE_ID,
    "state": "completed",
    "user_message": "What is the capital of France?",
    "priority": "normal",
    "created_at": CREATED,
    "started_at": STARTED,
    "completed_at": ENDED,
    "result": "The capital of France is Paris.",
    "output": None,
    "error": None,
    "error_code": None,
    "queue_position": None,
    "thread_id": THREAD_ID,
    "agent": "chat",
    "agent_version": None,
    "attempt": 1,
    "estimated_start_at": None,
    "waiting_reason": None,
    "run_at": None,
    "cancel_requested": False,
    "fingerprint": None,
    "interrupts": [],
    "interrupt_expires_at": None,
    "metadata": {"user": "u-17"},
    "trace_id": None,
    "subject": "user-42",
    "usage": {**USED, "models": [{"model": "gpt-4o", **USED}]},
}


def example(**fields: Any) -> ConfigDict:
    """Return the configuration of a model with this example in the API's description."""
    return ConfigDict(json_schema_extra={"examples": [fields]})
