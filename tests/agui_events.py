"""Reads streams of AG-UI as strictly as its client does, and more."""

import json
from typing import Any

from ag_ui.core import Event
from pydantic import TypeAdapter

_event: TypeAdapter[Any] = TypeAdapter(Event)

CUTS = frozenset({"server_stopping", "message_not_found", "events_gone", "authentication_required"})
"""The codes of errors that end a stream while its run goes on, or is gone."""


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, of which each fits the protocol's schema and has no null where a field may be missing."""
    found: list[dict[str, Any]] = []
    for block in filter(None, body.decode().split("\n\n")):
        (line,) = [line for line in block.split("\n") if not line.startswith(("retry:", ":"))]
        event = json.loads(line.removeprefix("data: "))
        _event.validate_python(event)
        assert all(value is not None for name, value in event.items() if name not in ("value", "snapshot")), event
        found.append(event)
    return found


class ReadRun:
    """Reads events as a client does, and has what the client has.

    Fails for an event that the client does not take; for texts, calls or steps that are open at the end of the run,
    with an error too; for a text whose reasoning is open; and for ids that are those of another message.
    """

    def __init__(self, messages: list[dict[str, Any]] | None = None) -> None:
        self.messages: list[dict[str, Any]] = list(messages or [])
        self.state: Any = None
        self.started: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.custom: list[tuple[str, Any]] = []
        self.steps: list[str] = []
        self._open: dict[tuple[str, str], dict[str, Any]] = {}
        self._in_steps: set[str] = set()

    def take(self, *events: dict[str, Any]) -> "ReadRun":
        """Read further events."""
        for event in events:
            assert self.end is None, event
            assert bool(self.started) is (event["type"] != "RUN_STARTED"), event
            self._take(event["type"], event)
        return self

    def _take(self, kind: str, event: dict[str, Any]) -> None:
        match kind:
            case "RUN_STARTED":
                self.started = event
            case "MESSAGES_SNAPSHOT":
                assert not self._open
                self.messages = [dict(each) for each in event["messages"]]
                assert len({each["id"] for each in self.messages}) == len(self.messages), event
            case "STATE_SNAPSHOT":
                self.state = event["snapshot"]
            case "CUSTOM":
                self.custom.append((event["name"], event["value"]))
            case "STEP_STARTED":
                assert event["stepName"] not in self._in_steps
                self._in_steps.add(event["stepName"])
                self.steps.append(event["stepName"])
            case "STEP_FINISHED":
                self._in_steps.remove(event["stepName"])
            case "RUN_FINISHED" | "RUN_ERROR":
                is_cut = event.get("code") in CUTS
                assert is_cut or not self._open, self._open
                assert is_cut or not self._in_steps
                self.end = event
            case _ if kind.startswith("TOOL_CALL_"):
                self._tool(kind.removeprefix("TOOL_CALL_"), event)
            case _:
                name, _, what = kind.rpartition("_")
                self._text(name, what, event)

    def _text(self, name: str, what: str, event: dict[str, Any]) -> None:
        role = "assistant" if name == "TEXT_MESSAGE" else "reasoning"
        key = (name, event["messageId"])
        if what == "START":
            assert key not in self._open
            if name == "REASONING":
                self._open[key] = {}
                return
            if name == "REASONING_MESSAGE":
                assert ("REASONING", event["messageId"]) in self._open
            else:
                assert ("REASONING", f"{event['messageId']}-reasoning") not in self._open
            self._open[key] = self._message(event["messageId"], role)
        elif what == "CONTENT":
            assert self._open[key]["role"] == role
            self._open[key]["content"] = (self._open[key].get("content") or "") + event["delta"]
        else:
            self._open.pop(key).setdefault("metadata", {}).update(event.get("metadata", {}))

    def _tool(self, what: str, event: dict[str, Any]) -> None:
        key = ("TOOL_CALL", event["toolCallId"])
        if what == "START":
            assert key not in self._open
            assert all(call["id"] != event["toolCallId"] for call in self.calls()), "an id is used once"
            owner = self._message(event.get("parentMessageId") or event["toolCallId"], "assistant")
            function = {"name": event["toolCallName"], "arguments": ""}
            self._open[key] = {"id": event["toolCallId"], "type": "function", "function": function}
            owner.setdefault("toolCalls", []).append(self._open[key])
        elif what == "ARGS":
            self._open[key]["function"]["arguments"] += event["delta"]
        elif what == "END":
            self._open.pop(key)
        else:
            assert any(call["id"] == event["toolCallId"] for call in self.calls())
            assert all(each["id"] != event["messageId"] for each in self.messages)
            fields = [name for name in ("toolCallId", "content", "metadata") if name in event]
            message: dict[str, Any] = {"id": event["messageId"], "role": "tool"}
            self.messages.append(message | {name: event[name] for name in fields})

    def calls(self) -> list[dict[str, Any]]:
        """The tool calls of all messages."""
        return [call for each in self.messages for call in each.get("toolCalls") or ()]

    def _message(self, name: str, role: str) -> dict[str, Any]:
        for each in self.messages:
            if each["id"] == name:
                assert each["role"] == role, (each, role)
                return each
        self.messages.append({"id": name, "role": role})
        return self.messages[-1]

    @property
    def outcome(self) -> str | None:
        """The outcome, or the code of the error; None before the end."""
        if self.end is None:
            return None
        return str(self.end["code"] if self.end["type"] == "RUN_ERROR" else self.end["outcome"]["type"])

    def shown(self) -> list[Any]:
        """The messages in short: texts, and tool calls by name and arguments. Discarded texts are in tildes."""
        found: list[Any] = []
        for each in self.messages:
            text = each.get("content") or ""
            if (each.get("metadata") or {}).get("agentq", {}).get("discarded"):
                text = f"~{text}~"
            if each["role"] == "reasoning":
                text = f"({text})"
            if each["role"] in ("user", "system", "tool"):
                text = (each["role"], text)
            if text:
                found.append(text)
            found += [(call["function"]["name"], call["function"]["arguments"]) for call in each.get("toolCalls") or ()]
        return found
