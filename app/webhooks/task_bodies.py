"""The bodies of webhooks that tell clients of A2A about their tasks. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.deliveries import Delivery, WebhookEvent
from ..policy.question_texts import question_texts
from ..text import rfc3339

TOKEN = "X-A2A-Notification-Token"  # noqa: S105  # the name of a header
"""The header with the text by which a receiver knows the sender."""

STATES = {
    WebhookEvent.COMPLETED: "TASK_STATE_COMPLETED",
    WebhookEvent.FAILED: "TASK_STATE_FAILED",
    WebhookEvent.CANCELLED: "TASK_STATE_CANCELED",
    WebhookEvent.INTERRUPTED: "TASK_STATE_INPUT_REQUIRED",
}


OLD_STATES = {
    WebhookEvent.COMPLETED: "completed",
    WebhookEvent.FAILED: "failed",
    WebhookEvent.CANCELLED: "canceled",
    WebhookEvent.INTERRUPTED: "input-required",
}


def task_body_of(delivery: Delivery) -> bytes:
    """Return the task of A2A 1.0 as an item of a stream, the same in every try."""
    return json.dumps({"task": _task(delivery)}, separators=(",", ":")).encode()


def old_task_body_of(delivery: Delivery) -> bytes:
    """Return the task of A2A 0.3, the same in every try."""
    task = _task(delivery)
    status = {**task["status"], "state": OLD_STATES[delivery.event]}
    if "message" in status:
        message = status["message"]
        status["message"] = {
            **message, "kind": "message", "role": "agent", "parts": _old_parts(message["parts"])
        }  # fmt: skip
    artifacts = [{**artifact, "parts": _old_parts(artifact["parts"])} for artifact in task["artifacts"]]
    old = {**task, "kind": "task", "status": status, "artifacts": artifacts}
    return json.dumps(old, separators=(",", ":")).encode()


def _task(delivery: Delivery) -> dict[str, Any]:
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
    return {"id": delivery.message_id, "contextId": context_id, "status": status, "artifacts": artifacts}


def _parts_of_message(event: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return what the agent says with its state: an error or a question; None for neither."""
    if "error" in event:
        return [_text(event["error"])]
    if "interrupts" in event:
        asked = event["interrupts"]
        texts = [_text(text) for each in asked for text in question_texts(each["value"])]
        return [*texts, _data({"interrupts": asked})]
    return None


def _text(text: str) -> dict[str, Any]:
    return {"text": text, "mediaType": "text/plain"}


def _data(value: Any) -> dict[str, Any]:
    return {"data": value, "mediaType": "application/json"}


def _old_parts(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return parts as 0.3 has them. Data must be an object there, so other data is wrapped, as the SDK does it."""
    made: list[dict[str, Any]] = []
    for part in parts:
        if "text" in part:
            made.append({"kind": "text", "text": part["text"]})
        elif isinstance(part["data"], dict):
            made.append({"kind": "data", "data": part["data"]})
        else:
            wrapped = {"value": part["data"]}
            made.append({"kind": "data", "data": wrapped, "metadata": {"data_part_compat": True}})
    return made
