"""The body of a webhook that tells a client of A2A about its task. Pure."""

import json
from typing import Any

from ..models.deliveries import Delivery, WebhookEvent
from ..text import rfc3339

TOKEN = "X-A2A-Notification-Token"  # noqa: S105  # the name of a header
"""The header with the text by which a receiver knows the sender."""

STATES = {
    WebhookEvent.COMPLETED: "TASK_STATE_COMPLETED",
    WebhookEvent.FAILED: "TASK_STATE_FAILED",
    WebhookEvent.CANCELLED: "TASK_STATE_CANCELED",
    WebhookEvent.INTERRUPTED: "TASK_STATE_INPUT_REQUIRED",
}


def task_body_of(delivery: Delivery) -> bytes:
    """Return the task as an item of a stream, the same in every try."""
    context_id = delivery.thread_id or delivery.message_id
    event = json.loads(delivery.data)
    status: dict[str, Any] = {"state": STATES[delivery.event], "timestamp": rfc3339(delivery.created_at)}
    if (parts := _parts_of_message(event)) is not None:
        status["message"] = {
            "messageId": f"{delivery.message_id}-{delivery.event}",
            "taskId": delivery.message_id,
            "contextId": context_id,
            "role": "ROLE_AGENT",
            "parts": parts,
        }
    artifacts = []
    if event.get("result"):
        artifacts.append({"artifactId": "answer", "name": "answer", "parts": [_text(event["result"])]})
    if "output" in event:
        artifacts.append({"artifactId": "output", "name": "output", "parts": [_data(event["output"])]})
    task = {"id": delivery.message_id, "contextId": context_id, "status": status, "artifacts": artifacts}
    return json.dumps({"task": task}, separators=(",", ":")).encode()


def _parts_of_message(event: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return what the agent says with its state: an error or a question; None for neither."""
    if "error" in event:
        return [_text(event["error"])]
    if "interrupts" in event:
        return [_data({"interrupts": event["interrupts"]})]
    return None


def _text(text: str) -> dict[str, Any]:
    return {"text": text, "mediaType": "text/plain"}


def _data(value: Any) -> dict[str, Any]:
    return {"data": value, "mediaType": "application/json"}
