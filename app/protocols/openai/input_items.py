"""The input of a response as items. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..runs import Run
from .ids import ITEM, call_id_of
from .notes import Notes
from .output_items import call_item


def input_items_of(run: Run) -> list[dict[str, Any]]:
    """Return the items of the input, oldest first. Those of an answer are known until the agent has taken it."""
    message = run.message
    if run.first_event:
        given = json.loads(message.resume_value or "{}")
        return [_answer_item(run, question_id, value) for question_id, value in given.items()]
    given = (message.options.run.input or {}).get("messages")
    messages = given if isinstance(given, list) else [{"role": "user", "content": message.content}]
    if Notes.of(message).instructions is not None:
        messages = messages[1:]
    return _items(message.id, message.agent, messages)


def _items(message_id: str, agent: str, messages: Sequence[Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    calls: dict[object, dict[str, Any]] = {}
    for number, given in enumerate(messages):
        each: Mapping[str, Any] = given if isinstance(given, Mapping) else {"role": "user", "content": str(given)}
        role = each.get("role") or each.get("type") or "user"
        for call in each.get("tool_calls") or ():
            called = call.get("function") or {"name": call.get("name"), "arguments": json.dumps(call.get("args"))}
            item = call_item(str(call["id"]), agent, str(called["name"]), str(called["arguments"]), "completed")
            calls[item["id"]] = item
            items.append(item)
        if role == "tool" and each.get("tool_call_id") in calls:
            calls[each["tool_call_id"]]["output"] = str(each.get("content", ""))
        elif each.get("content"):
            items.append(_message_item(each.get("id") or f"{ITEM}{message_id}_{number}", role, each["content"]))
    return items


def _message_item(item_id: str, role: str, content: Any) -> dict[str, Any]:
    kind = "output_text" if role in ("assistant", "ai") else "input_text"
    shown = {"ai": "assistant", "human": "user"}.get(role, role)
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {
        "id": item_id,
        "type": "message",
        "role": shown,
        "status": "completed",
        "content": [_part(kind, part) for part in parts],
    }


def _part(kind: str, part: Any) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": text}:
            return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}
        case {"type": "image_url", "image_url": {"url": url, **more}}:
            return {"type": "input_image", "image_url": url, "detail": more.get("detail", "auto")}
        case {"type": "file", "file": {"file_data": data, "filename": name}}:
            return {"type": "input_file", "file_data": data, "filename": name}
    return {"type": kind, "text": json.dumps(part)}


def _answer_item(run: Run, question_id: str, value: Any) -> dict[str, Any]:
    output = value if isinstance(value, str) else json.dumps(value)
    return {
        "id": f"fco_{run.id}_{question_id}",
        "type": "function_call_output",
        "call_id": call_id_of(run.message.id, question_id),
        "output": output,
        "status": "completed",
    }
