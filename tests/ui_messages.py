"""Reads UI message streams as strictly as the AI SDK does, and more."""

import json
from typing import Any

TYPES = frozenset(
    {
        *("start", "start-step", "finish-step", "finish", "abort", "error"),
        *(f"{name}-{part}" for name in ("text", "reasoning") for part in ("start", "delta", "end")),
        *("tool-input-available", "tool-output-available", "tool-output-error"),
        *("data-queue", "data-custom", "data-retry"),
    }
)
ENDS = frozenset({"finish", "abort", "error"})


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream. Its last frame is the mark of the end if it has ended."""
    found: list[dict[str, Any]] = []
    blocks = [block for block in body.decode().split("\n\n") if block]
    for at, block in enumerate(blocks):
        lines = [line for line in block.split("\n") if not line.startswith(("retry:", ":"))]
        (line,) = lines
        assert line.startswith("data: ")
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            assert at == len(blocks) - 1
            continue
        found.append(json.loads(data))
    return found


class ReadMessage:
    """The message that a page has after some chunks. Fails for a chunk that the AI SDK does not take, and for more:

    texts outside of steps, steps in steps, open parts at the end of a step, chunks after the end.
    """

    def __init__(self, parts: list[dict[str, Any]] | None = None) -> None:
        self.id = ""
        self.parts: list[dict[str, Any]] = list(parts or [])
        self.transient: list[dict[str, Any]] = []
        self.metadata: Any = None
        self.end: dict[str, Any] | None = None
        self._open: dict[str, dict[str, Any]] = {}
        self._ids: set[str] = set()
        self._in_step = False

    def take(self, *chunks: dict[str, Any]) -> "ReadMessage":
        """Read further chunks."""
        for chunk in chunks:
            assert chunk["type"] in TYPES, chunk
            assert self.end is None, chunk
            self._take(chunk["type"], chunk)
        return self

    def _take(self, kind: str, chunk: dict[str, Any]) -> None:
        name, _, what = kind.partition("-")
        if name in ("text", "reasoning"):
            self._text(name, what, chunk)
        elif name == "data":
            (self.transient if chunk.get("transient") else self.parts).append(chunk)
        elif name == "tool":
            self._tool(kind, chunk)
        elif kind == "start":
            self.id = chunk["messageId"]
        elif kind == "start-step":
            assert not self._in_step
            self._in_step = True
            self.parts.append({"type": "step-start"})
        else:
            assert not self._open, self._open
            assert self._in_step is (kind == "finish-step")
            self._in_step = False
            if kind in ENDS:
                self.end = chunk
                self.metadata = chunk.get("messageMetadata")

    def _text(self, name: str, what: str, chunk: dict[str, Any]) -> None:
        assert self._in_step
        key = chunk["id"]
        if what == "start":
            assert key not in self._ids, "an id is used once"
            self._ids.add(key)
            self._open[key] = {"type": name, "text": ""}
            self.parts.append(self._open[key])
        elif what == "delta":
            assert self._open[key]["type"] == name
            self._open[key]["text"] += chunk["delta"]
        else:
            self._open.pop(key).update({each: chunk[each] for each in ("providerMetadata",) if each in chunk})

    def _tool(self, kind: str, chunk: dict[str, Any]) -> None:
        if kind == "tool-input-available":
            assert self._in_step
            self.parts.append({**chunk, "type": "tool"})
            return
        (part,) = [part for part in self.parts if part.get("toolCallId") == chunk["toolCallId"]][-1:]
        part["output"] = chunk["output"] if kind == "tool-output-available" else {"error": chunk["errorText"]}

    def shown(self) -> list[Any]:
        """The parts in short: texts, and tools by name, input and output."""
        found: list[Any] = []
        for part in self.parts:
            match part:
                case {"type": "text", "text": text, "providerMetadata": {"agentq": {"discarded": True}}}:
                    found.append(f"~{text}~")
                case {"type": "text", "text": text}:
                    found.append(text)
                case {"type": "reasoning", "text": text}:
                    found.append(f"({text})")
                case {"type": "tool"}:
                    found.append((part["toolName"], part["input"], part.get("output")))
                case {"type": kind}:
                    found.append(f"<{kind}>")
        return found
