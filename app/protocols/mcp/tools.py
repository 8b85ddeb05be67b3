"""The tools for messages and the queue, which every server has."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...api.listing import key_of, next_cursor
from ...api.schemas.submissions import MessageCreate
from ...errors import Forbidden, InvalidRequest
from ...models.messages import MessageFilter, MessageState, NewMessage, Page, Priority
from ...models.requests import ResumeAnswer
from ...models.types import JsonObject, Text, ThreadId
from ..runs import Run
from ..turns import first_run, submit_turns
from .exchanges import Exchange
from .views import MessagesView, MessageView, QueueView
from .waits import is_settled, place_to_wait, settled

MAX_WAIT_SECONDS = 3600
DEFAULT_WAIT_SECONDS = 60
MAX_PAGE, DEFAULT_PAGE = 100, 20
LISTED = "mcp/list_messages"
"""The name of the list in its cursors."""

Name = Annotated[Text, Field(min_length=1, max_length=255)]
MessageId = Annotated[Text, Field(min_length=1, max_length=255, description="The id of the message.")]
Seconds = Annotated[float, Field(strict=True, ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)]


ANSWER_FIRST = "use answer_message if its answer is what you have."
"""Ends the descriptions of tools that cancel an open question."""


class Arguments(BaseModel):
    """The arguments of a tool."""

    model_config = ConfigDict(extra="forbid")


class SubmitArguments(Arguments):
    """The arguments of `submit_message`."""

    message: Text = Field(description="What to say to the agent.")
    agent: Name | None = Field(None, description="The agent's name. By default the server's first agent.")
    thread_id: ThreadId | None = Field(
        None, description="The conversation. A new id begins one, which the agent then remembers. By default none."
    )
    priority: Priority | None = Field(None, description="More urgent messages begin first. By default normal.")
    wait_seconds: Seconds = Field(0, description="How long to wait for the end. By default the reply comes at once.")


class WaitArguments(Arguments):
    """The arguments of `wait_for_message`."""

    message_id: MessageId
    timeout_seconds: Seconds = Field(
        DEFAULT_WAIT_SECONDS, description="When the time is up, the reply has the message as it is then."
    )


class MessageArguments(Arguments):
    """The arguments of tools that need a message alone."""

    message_id: MessageId


class AnswerArguments(Arguments):
    """The arguments of `answer_message`."""

    message_id: MessageId
    value: Any = Field(None, description="The answer to the only question of the message: any JSON.")
    values: JsonObject | None = Field(None, description="By the ids of several questions, the answer to each.")


class ListArguments(Arguments):
    """The arguments of `list_messages`."""

    state: MessageState | None = Field(None, description="Only messages in this state.")
    thread_id: ThreadId | None = Field(None, description="Only messages of this conversation.")
    agent: Name | None = Field(None, description="Only messages for this agent.")
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_PAGE)] = Field(DEFAULT_PAGE, description="Most messages.")
    cursor: Name | None = Field(None, description="The `next_cursor` of the page before.")


class Tool(NamedTuple):
    """A tool. Its caller needs `scope`. `run` raises AgentQueueError.

    With `counts_all`, it is only for callers that see all of their tenant.
    """

    title: str
    description: str
    scope: AccessScope
    arguments: type[Arguments]
    result: type[BaseModel]
    run: Callable[[Exchange, Any], Awaitable[BaseModel]]
    counts_all: bool = False

    @property
    def only_reads(self) -> bool:
        """Return whether the tool changes nothing."""
        return self.scope is AccessScope.READ

    def is_for(self, caller: Principal) -> bool:
        """Return whether a caller may use the tool."""
        return self.scope in caller.scopes and not (self.counts_all and caller.is_narrowed)


def require(exchange: Exchange, scope: AccessScope) -> None:
    """Raise Forbidden unless the caller has the scope of a tool."""
    if scope not in exchange.caller.scopes:
        raise Forbidden(f"This tool needs the scope `{scope}`, which the caller does not have. Use another API key.")


async def submitted(exchange: Exchange, new: NewMessage) -> Run:
    """Store a message and return its run. Raises what `QueueManager.submit` raises."""
    services, caller = exchange.services, exchange.caller
    return await first_run(services, caller, await submit_turns(services, caller, [new], by=exchange.by))


def new_message(exchange: Exchange, **given: Any) -> NewMessage:
    """Return a message with the fields of a native submit. Raises ValidationError, which names the field."""
    fields = {name: value for name, value in given.items() if value is not None}
    return MessageCreate(priority=fields.pop("priority", exchange.priority or Priority.NORMAL), **fields).new_message()


def wait_for(exchange: Exchange, seconds: float) -> None:
    """Have the exchange wait for this long from now."""
    exchange.until = round((time.time() + seconds) * 1000)


async def _submit(exchange: Exchange, given: SubmitArguments) -> MessageView:
    fields = {name: getattr(given, name) for name in ("message", "agent", "thread_id", "priority")}
    new = new_message(exchange, **fields)
    if not given.wait_seconds:
        return MessageView.of((await submitted(exchange, new)).message)
    async with place_to_wait(exchange):
        message = (await submitted(exchange, new)).message
        wait_for(exchange, given.wait_seconds)
        return MessageView.of(await settled(exchange, message))


async def _wait(exchange: Exchange, given: WaitArguments) -> MessageView:
    message = await exchange.services.queue.get(exchange.caller, given.message_id)
    if is_settled(message):
        return MessageView.of(message)
    async with place_to_wait(exchange):
        wait_for(exchange, given.timeout_seconds)
        return MessageView.of(await settled(exchange, message))


async def _get(exchange: Exchange, given: MessageArguments) -> MessageView:
    return MessageView.of(await exchange.services.queue.get(exchange.caller, given.message_id))


async def _cancel(exchange: Exchange, given: MessageArguments) -> MessageView:
    queue = exchange.services.queue
    message = await queue.cancel(exchange.caller, given.message_id, running=True, by=exchange.by)
    return MessageView.of(message)


async def _answer(exchange: Exchange, given: AnswerArguments) -> MessageView:
    if (given.values is not None) == ("value" in given.model_fields_set):
        raise InvalidRequest("value: expected either value or values", field="value")
    answer = ResumeAnswer(given.value, given.values)
    accepted = await exchange.services.queue.resume(exchange.caller, given.message_id, answer, by=exchange.by)
    (message,) = accepted.messages
    return MessageView.of(message)


async def _list(exchange: Exchange, given: ListArguments) -> MessagesView:
    states = None if given.state is None else frozenset({given.state})
    chosen = MessageFilter(states=states, thread_id=given.thread_id, agent=given.agent)
    after = None if given.cursor is None else key_of(given.cursor, LISTED)
    if given.cursor is not None and after is None:
        raise InvalidRequest("cursor: expected a next_cursor of list_messages", field="cursor")
    found = await exchange.services.queue.list_messages(exchange.caller, chosen, Page(given.limit, after))
    return MessagesView(
        messages=[MessageView.of(each) for each in found], next_cursor=next_cursor(found, given.limit, LISTED)
    )


async def _summary(exchange: Exchange, _: Arguments) -> QueueView:
    totals = (await exchange.services.queue.summary(exchange.caller, limit=1)).totals
    return QueueView(
        total_queued=totals.get(MessageState.QUEUED, 0), total_processing=totals.get(MessageState.PROCESSING, 0)
    )


TOOLS: Mapping[str, Tool] = {
    "submit_message": Tool(
        "Submit a message",
        "Put a message for an agent into the durable queue. The reply has its message_id at once, or the answer if it "
        "comes within wait_seconds. The message is answered even if nobody waits. A message for a conversation with an "
        f"open question cancels that question: {ANSWER_FIRST}",
        AccessScope.SUBMIT,
        SubmitArguments,
        MessageView,
        _submit,
    ),
    "wait_for_message": Tool(
        "Wait for a message",
        "Wait until a message has ended or its agent asks a human. The state of the reply tells which.",
        AccessScope.READ,
        WaitArguments,
        MessageView,
        _wait,
    ),
    "get_message": Tool(
        "Get a message",
        "Show a message as it is now: its state, its place in the queue, its answer or its error.",
        AccessScope.READ,
        MessageArguments,
        MessageView,
        _get,
    ),
    "cancel_message": Tool(
        "Cancel a message",
        "Cancel a message that waits, runs or asks a human. A running one may still be processing in the reply, but "
        "never completes.",
        AccessScope.CONTROL,
        MessageArguments,
        MessageView,
        _cancel,
    ),
    "answer_message": Tool(
        "Answer the question of a message",
        "Answer the question of a message whose state is interrupted. The message then goes on: call wait_for_message.",
        AccessScope.CONTROL,
        AnswerArguments,
        MessageView,
        _answer,
    ),
    "list_messages": Tool(
        "List messages",
        "List messages, newest first.",
        AccessScope.READ,
        ListArguments,
        MessagesView,
        _list,
    ),
    "queue_summary": Tool(
        "See the queue",
        "Count the messages that wait and those that run.",
        AccessScope.READ,
        Arguments,
        QueueView,
        _summary,
        counts_all=True,
    ),
}
"""The tools by their names."""
