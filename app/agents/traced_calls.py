"""Describes what a graph does as spans: its nodes, its calls of models, its calls of tools."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import LC_ID_PREFIX, AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp

from ..observability.trace_attributes import CHAT, EXECUTE_TOOL, TEXT_COMPLETION
from ..observability.tracing import RunTrace
from ..policy.failures import class_name
from ..text import storable_json
from .model_calls import UNNAMED_MODEL, reported_usage
from .shown_events import path_of

STEP = "graph:step:"
"""The beginning of the tag by which LangGraph marks the run of a node."""

PROVIDERS = {
    "azure": "azure.ai.openai",
    "amazon_bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "ibm": "ibm.watsonx.ai",
}
"""Names of providers in the semantic conventions, by LangChain's names, where they differ."""

ROLES = {"human": "user", "ai": "assistant"}
"""Roles in the semantic conventions, by LangChain's types of messages, where they differ."""

FINISHES = ("finish_reason", "stop_reason", "stopReason", "status")
"""Fields of an answer's metadata that say why it ended, by provider."""


def callbacks_of(trace: RunTrace | None) -> list[BaseCallbackHandler]:
    """Return the callbacks that record spans of a run: none if the run is not recorded."""
    return [] if trace is None or not trace.recording else [TracedCalls(trace)]


class TracedCalls(BaseCallbackHandler):
    """Records spans of one run. LangChain calls it; each of its runs has an id."""

    run_inline = True  # in the Python context of the call, in which spans of other packages begin
    ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self, trace: RunTrace) -> None:
        self._trace = trace
        self._began: dict[UUID, float] = {}

    def on_chain_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  the interface of LangChain
        inputs: Any,  # noqa: ARG002  as above
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a node. Other chains have no spans."""
        step = next((tag.removeprefix(STEP) for tag in tags or () if tag.startswith(STEP)), None)
        node = (metadata or {}).get("langgraph_node")
        if step is None or node is None or node != kwargs.get("name"):
            self._trace.skip(run_id, parent_run_id)
            return
        path = path_of(str((metadata or {}).get("langgraph_checkpoint_ns", "")).split("|")[:-1])
        number = int(step) if step.isdecimal() else None
        self._trace.begin(
            run_id, parent_run_id, f"node {node}", is_client=False, node=node, step=number, path=path or None
        )

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """End the span of a node."""
        self._trace.end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """End the span of a node. A question to a human is no error."""
        self._trace.end(run_id, None if issubclass(type(error), GraphBubbleUp) else class_name(error))

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  as above
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,  # noqa: ARG002  as above
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a call of a chat model."""
        self._begin_call(CHAT, run_id, parent_run_id, metadata or {}, kwargs.get("invocation_params") or {})
        if self._trace.captures_content:
            given = [_message_of(each) for batch in messages for each in batch]
            self._trace.note(run_id, input_messages=_json(given))

    def on_llm_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  as above
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,  # noqa: ARG002  as above
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a call of a model that completes texts."""
        self._begin_call(TEXT_COMPLETION, run_id, parent_run_id, metadata or {}, kwargs.get("invocation_params") or {})
        if self._trace.captures_content:
            given = [{"role": "user", "parts": [{"type": "text", "content": prompt}]} for prompt in prompts]
            self._trace.note(run_id, input_messages=_json(given))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """Note the time to the first piece of an answer."""
        began = self._began.pop(run_id, None)
        if began is not None:
            self._trace.note(run_id, time_to_first_chunk=time.perf_counter() - began)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """Note what the provider says of the answer, and end the span of the call."""
        self._began.pop(run_id, None)
        answers = [getattr(each, "message", None) for batch in response.generations for each in batch]
        found = [each for each in answers if isinstance(each, AIMessage)]
        if found:
            self._trace.note(run_id, **_described(found))
        if found and self._trace.captures_content:
            self._trace.note(run_id, output_messages=_json([_message_of(each) for each in found]))
        self._trace.end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """End the span of a call that failed."""
        self._began.pop(run_id, None)
        self._trace.end(run_id, class_name(error))

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,  # noqa: ARG002  as above
        metadata: dict[str, Any] | None = None,  # noqa: ARG002  as above
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a call of a tool."""
        name = str((serialized or {}).get("name") or kwargs.get("name") or "unknown")
        self._trace.begin(
            run_id,
            parent_run_id,
            f"{EXECUTE_TOOL} {name}",
            is_client=False,
            operation=EXECUTE_TOOL,
            tool=name,
            tool_type="function",
            tool_call=kwargs.get("tool_call_id"),
        )
        if self._trace.captures_content:
            self._trace.note(run_id, tool_arguments=input_str if inputs is None else _json(inputs))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """End the span of a call of a tool."""
        if self._trace.captures_content:
            result = output.content if isinstance(output, BaseMessage) else output
            self._trace.note(run_id, tool_result=result if isinstance(result, str) else _json(result))
        self._trace.end(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  as above
        """End the span of a call of a tool that failed. A question to a human is no error."""
        self._trace.end(run_id, None if issubclass(type(error), GraphBubbleUp) else class_name(error))

    def _begin_call(
        self,
        operation: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        model = _text(metadata.get("ls_model_name") or given.get("model") or given.get("model_name")) or UNNAMED_MODEL
        provider = _text(metadata.get("ls_provider"))
        self._trace.begin(
            run_id,
            parent_run_id,
            f"{operation} {model}",
            is_client=True,
            operation=operation,
            request_model=model,
            provider=PROVIDERS.get(provider or "", provider),
            temperature=_number(metadata.get("ls_temperature")),
            max_tokens=_number(metadata.get("ls_max_tokens")),
            top_p=_number(given.get("top_p")),
            seed=_number(given.get("seed")),
            stream=True if given.get("stream") is True else None,
        )
        self._began[run_id] = time.perf_counter()


def _described(answers: Sequence[AIMessage]) -> dict[str, Any]:
    """Return the attributes of answers of one call: the model, why they ended, and the tokens."""
    about, usage = answers[0].response_metadata, reported_usage(answers[0])
    reasons = [
        next((text for name in FINISHES if (text := _text(each.response_metadata.get(name)))), "unknown")
        for each in answers
    ]
    return {
        "response_model": _text(about.get("model_name") or about.get("model")),
        "response_id": _text(about.get("id")) or _id_of_provider(answers[0]),
        "finish_reasons": reasons,
        "input_tokens": _number(usage.get("input_tokens")),
        "output_tokens": _number(usage.get("output_tokens")),
        "cached_tokens": _number(_group(usage, "input_token_details").get("cache_read")),
        "reasoning_tokens": _number(_group(usage, "output_token_details").get("reasoning")),
    }


def _group(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = usage.get(name)
    return group if isinstance(group, Mapping) else {}


def _id_of_provider(answer: AIMessage) -> str | None:
    """Return the answer's id unless LangChain made it."""
    return None if answer.id is None or answer.id.startswith(LC_ID_PREFIX) else answer.id


def _message_of(message: BaseMessage) -> dict[str, Any]:
    """Return a message in the form of the semantic conventions."""
    parts: list[dict[str, Any]] = []
    if isinstance(message.content, str):
        if message.content:
            parts.append({"type": "text", "content": message.content})
    else:
        parts += [each if isinstance(each, dict) else {"type": "text", "content": each} for each in message.content]
    parts += [
        {"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["args"]}
        for call in _calls(message)
    ]
    if message.type == "tool":
        parts = [
            {"type": "tool_call_response", "id": getattr(message, "tool_call_id", None), "response": message.content}
        ]
    return {"role": ROLES.get(message.type, message.type), "parts": parts}


def _calls(message: BaseMessage) -> Iterable[Any]:
    return message.tool_calls if isinstance(message, AIMessage) else ()


def _json(value: object) -> str:
    return json.dumps(storable_json(value), ensure_ascii=False)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
