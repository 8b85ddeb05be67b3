"""The server of the protocol: the SDK's, with our tools."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ShownTool
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaMode
from starlette.requests import Request

from ... import __version__
from ...api.errors import InvalidBody, ServerStopping, response_to
from ...api.schemas.problems import Problem
from ...api.trace_context import traced
from ...models.messages import Message, MessageState
from ...text import escaped
from .agent_tools import PREFIX, AgentTool, agent_tool, agent_tools
from .exchanges import SCOPE_KEY, Exchange, Resumption
from .tools import TOOLS, Tool, require
from .views import MessageView
from .waits import place_to_wait, resumed_message, settled

logger = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Request]

INSTRUCTIONS = (
    "Messages for AI agents wait in a durable queue, and each is answered even if nobody waits for it. A tool run_NAME "
    "gives an agent its input and waits for its answer. submit_message does not wait: call wait_for_message later."
)

CODE = "agentq/code"
"""The key, in `_meta` of a failed call, of the native code of the error."""

MAX_SHOWN_NAME = 100


def make_server() -> Server[Any]:
    """Return a server. Its spans are left out, since the queue has its own."""
    server = Server(
        "agent-queue-system",
        version=__version__,
        title="Agent Queue System",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=lambda _: None,  # no argument is sent in a header
    )
    server.middleware[:] = [explain]
    return server


async def explain(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Have the error for parameters that do not fit the protocol say what is wrong with them."""
    try:
        return await call_next(ctx)
    except ValidationError as error:
        wrong = InvalidBody(error.errors(include_url=False, include_input=False), CallToolRequestParams)
        problem = Problem.model_validate_json(bytes(response_to(wrong).body))
        raise MCPError(INVALID_PARAMS, problem.detail, {"code": problem.code}) from None


async def list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
    """List the tools that the caller may use."""
    exchange = exchange_of(context)
    common = {name: AgentTool(tool, _schema_of(tool.arguments)) for name, tool in TOOLS.items()}
    found = {**common, **await agent_tools(exchange)}
    return ListToolsResult(
        tools=[_shown(name, tool, schema) for name, (tool, schema) in found.items() if tool.is_for(exchange.caller)]
    )


def _schema_of(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """Return the schema of arguments or of a result, without the descriptions of its types, which tell of code."""
    schema = model.model_json_schema(mode=mode)
    for each in (schema, *schema.get("$defs", {}).values()):
        each.pop("description", None)
    return schema


def _shown(name: str, tool: Tool, schema: dict[str, Any]) -> ShownTool:
    """Return a tool for a list. All that is no reading may cancel something: a message, or an open question."""
    hints = ToolAnnotations(
        read_only_hint=tool.only_reads,
        destructive_hint=not tool.only_reads,
        idempotent_hint=tool.only_reads,
        open_world_hint=not tool.only_reads,
    )
    return ShownTool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=schema,
        output_schema=_schema_of(tool.result, "serialization"),
        annotations=hints,
    )


async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    """Call a tool. What is wrong with the call is told in its result, so that a model can do better."""
    exchange = exchange_of(context)
    tool = TOOLS.get(params.name) or agent_tool(exchange, params.name)
    if tool is None:
        name = escaped(params.name[:MAX_SHOWN_NAME])
        raise MCPError(INVALID_PARAMS, f"There is no tool {name!r}. Call tools/list for the tools that you may use.")
    exchange.tell = lambda progress, text: context.session.report_progress(progress, message=text)
    meta: Mapping[str, Any] = context.meta or {}
    try:
        with traced(meta.get("traceparent"), meta.get("tracestate")):
            if exchange.resumed is not None:
                return result_of(params.name, await _resumed(exchange, exchange.resumed))
            require(exchange, tool.scope)
            return result_of(params.name, await tool.run(exchange, _arguments(tool, params.arguments)))
    except ServerStopping as error:
        if exchange.can_resume:
            raise  # the stream ends without a result, so that the client comes back
        told = f"The server was stopped while this call waited. Call wait_for_message for {exchange.message_id}."
        return _failure(told, error.code)
    except Exception as error:
        if isinstance(error, ValidationError):
            error = InvalidBody(error.errors(include_url=False, include_input=False), tool.arguments)
        problem = Problem.model_validate_json(bytes(response_to(error).body))
        if problem.status == 500:
            logger.exception("The tool %s failed", params.name)
        return _failure(problem.detail, problem.code)


def exchange_of(context: Context) -> Exchange:
    """Return the exchange of a request."""
    assert context.request is not None, "only requests of HTTP are served"
    exchange: Exchange = context.request.scope[SCOPE_KEY]
    return exchange


def _arguments(tool: Tool, given: dict[str, Any] | None) -> BaseModel:
    """Return the arguments of a call. Raises ValidationError."""
    return tool.arguments.model_validate_json(json.dumps(given or {}))


async def _resumed(exchange: Exchange, resumed: Resumption) -> MessageView:
    """Go on with a call whose connection was cut."""
    exchange.place = resumed.place
    exchange.until = resumed.until
    message: Message = await resumed_message(exchange, resumed.message_id, resumed.place)
    async with place_to_wait(exchange):
        return MessageView.of(await settled(exchange, message))


def result_of(name: str, found: BaseModel) -> CallToolResult:
    """Return the result of a call that found this. A run of an agent that has no answer is a failure."""
    structured = found.model_dump(mode="json")
    if isinstance(found, MessageView) and name.startswith(PREFIX):
        text = _text_of_run(found)
        failed = found.state in (MessageState.FAILED, MessageState.CANCELLED)
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content=structured, is_error=failed
        )
    text = json.dumps(structured, ensure_ascii=False)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


def _text_of_run(found: MessageView) -> str:
    """Return what a run says to the model that called it."""
    match found.state:
        case MessageState.COMPLETED:
            return found.result or json.dumps(found.output, ensure_ascii=False)
        case MessageState.INTERRUPTED:
            asked = json.dumps([each.model_dump() for each in found.interrupts], ensure_ascii=False)
            return f"The agent asks: {asked} Call answer_message for {found.message_id}, then wait_for_message."
        case MessageState.FAILED:
            return f"The agent failed: {found.error}"
        case MessageState.CANCELLED:
            return f"The message {found.message_id} was cancelled before its end."
        case _:
            return f"The message {found.message_id} is {found.state}. Call wait_for_message for its answer."


def _failure(told: str, code: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=told)], is_error=True, _meta={CODE: code})
