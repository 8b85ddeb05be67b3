"""The items of a response's output, as OpenAI's clients read them. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from .ids import QUESTION_ITEM, call_id_of

ASK_HUMAN = "ask_human"
"""The name of the function by whose call an agent asks a human."""


def message_item(item_id: str, text: str | None, status: str, phase: str | None = None) -> dict[str, Any]:
    """Return a message of the agent. `text` None stands for one without any part yet."""
    content = [] if text is None else [text_part(text)]
    item = {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}
    return item if phase is None else {**item, "phase": phase}


def text_part(text: str) -> dict[str, Any]:
    """Return the part of a message that has its text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_item(item_id: str, text: str | None, status: str) -> dict[str, Any]:
    """Return the reasoning before a message. `text` None stands for reasoning without any part yet."""
    content = [] if text is None else [reasoning_part(text)]
    return {"id": item_id, "type": "reasoning", "summary": [], "content": content, "status": status}


def reasoning_part(text: str) -> dict[str, Any]:
    """Return the part of a reasoning item that has its text."""
    return {"type": "reasoning_text", "text": text}


def call_item(item_id: str, agent: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """Return the call of a tool that the agent runs itself."""
    return {
        "id": item_id,
        "type": "mcp_call",
        "server_label": agent,
        "name": name,
        "arguments": arguments,
        "approval_request_id": None,
        "output": None,
        "error": None,
        "status": status,
    }


def result_fields(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a call that has the given result."""
    content = result["content"]
    if result.get("status") == "error":
        return {"status": "failed", "error": {"type": "mcp_tool_execution_error", "content": content}}
    return {"status": "completed", "output": content if isinstance(content, str) else json.dumps(content)}


def question_item(run_id: str, message_id: str, question: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return the function call by which a run asks a human. An object is the arguments; else `value` has it."""
    value = question["value"]
    arguments = json.dumps(value if isinstance(value, dict) else {"value": value})
    return {
        "id": f"{QUESTION_ITEM}{run_id}_{question['id']}",
        "type": "function_call",
        "status": status,
        "call_id": call_id_of(message_id, question["id"]),
        "name": ASK_HUMAN,
        "arguments": arguments if status == "completed" else "",
    }
