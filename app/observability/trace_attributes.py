"""Names of spans' attributes: OpenTelemetry's semantic conventions, and ours.

`gen_ai.*` are those of version 1.41.0 of the semantic conventions: docs/gen-ai in open-telemetry/semantic-conventions
at v1.41.0, before they moved to open-telemetry/semantic-conventions-genai. They are in development and may change.
`messaging.*` and `error.type` are of the same version.
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

# Values of `operation`.
INVOKE_AGENT, CHAT, TEXT_COMPLETION, EXECUTE_TOOL = "invoke_agent", "chat", "text_completion", "execute_tool"

NAMES = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "agent": "gen_ai.agent.name",
    "agent_version": "gen_ai.agent.version",
    "conversation": "gen_ai.conversation.id",
    "request_model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "stream": "gen_ai.request.stream",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "time_to_first_chunk": "gen_ai.response.time_to_first_chunk",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "tool": "gen_ai.tool.name",
    "tool_type": "gen_ai.tool.type",
    "tool_call": "gen_ai.tool.call.id",
    "input_messages": "gen_ai.input.messages",
    "output_messages": "gen_ai.output.messages",
    "tool_arguments": "gen_ai.tool.call.arguments",
    "tool_result": "gen_ai.tool.call.result",
    "system": "messaging.system",
    "destination": "messaging.destination.name",
    "messaging_operation": "messaging.operation.name",
    "messaging_type": "messaging.operation.type",
    "message": "messaging.message.id",
    "messages": "messaging.batch.message_count",
    "worker": "messaging.client.id",
    "error": "error.type",
    # Ours.
    "attempt": "agentq.attempt",
    "outcome": "agentq.outcome",
    "priority": "agentq.priority",
    "node": "agentq.node",
    "step": "agentq.step",
    "path": "agentq.path",
}
"""Names of attributes by their short names in the code."""

CONTENT = frozenset({"input_messages", "output_messages", "tool_arguments", "tool_result"})
"""Attributes with the texts of users, models and tools. They are recorded only when they are asked for."""

MESSAGING_SYSTEM = "agentq"
