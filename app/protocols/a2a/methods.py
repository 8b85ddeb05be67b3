"""The methods of the protocol."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    PushNotificationNotSupportedError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.empty_pb2 import Empty
from starlette.responses import Response

from ...access.scopes import AccessScope
from ...api.limit_headers import limit_headers
from ...api.listing import key_of, next_cursor
from ...api.request_keys import submit_key
from ...errors import InvalidRequest
from ...errors.limits import TooManyStreams
from ...models.messages import Message, MessageFilter, MessageState, Page, Priority
from ...policy.lifecycle import TERMINAL
from ...services import Services
from ..ids import new_thread_id
from ..questions import answer_question, require_control
from ..runs import Run
from ..turns import first_run, submit_turns
from .calls import Call, Headers
from .cards import OUTPUT_MODES, card_of
from .dialects import Dialect
from .histories import history_of
from .inputs import answer_of, checked, new_message
from .pushes import configs_of, named_config, receiver_of, refused_url
from .rpc import RequestId, result_reply
from .streams import HeldTask, rest_of, run_now, stream_of, whole_task
from .tasks import STATES, context_of, task_of

DEFAULT_PAGE, MAX_PAGE = 50, 100
LISTED = "a2a/ListTasks"
"""The name of the list in its page tokens."""

ANY_MODE = "*/*"


class Exchange(NamedTuple):
    """A call of a method, and the form of its reply."""

    call: Call
    headers: Headers
    dialect: Dialect
    request_id: RequestId

    def reply(self, result: Any, headers: dict[str, str] | None = None) -> Response:
        """Return the reply with a result."""
        return result_reply(self.request_id, self.dialect.result(result), headers)


class Method(NamedTuple):
    """A method. Its caller needs `scope`."""

    scope: AccessScope
    run: Callable[[Exchange, Any], Awaitable[Response]]


async def _send(exchange: Exchange, request: pb.SendMessageRequest) -> Response:
    """Store a message, or answer a question. Reply at the end of the task, or at once if the client wants it."""
    call, configuration = exchange.call, request.configuration
    length = configuration.history_length if configuration.HasField("history_length") else None
    _check_length(length)
    if not configuration.return_immediately:
        await call.services.stream_limits.check(call.caller)
    run = await _begun(exchange, request)
    if configuration.return_immediately:
        task = await whole_task(call.services, call.caller, run.message, history_length=length)
        return exchange.reply(pb.SendMessageResponse(task=task), dict(limit_headers(run.counted)))
    return HeldTask(
        call.services, call.caller, run, exchange.dialect, exchange.request_id,
        history_length=length, is_reply=True,
    )  # fmt: skip


async def _stream(exchange: Exchange, request: pb.SendMessageRequest) -> Response:
    """Store a message, or answer a question, and stream the task."""
    call = exchange.call
    await call.services.stream_limits.check(call.caller)
    run = await _begun(exchange, request)
    return await stream_of(call.services, call.caller, run, exchange.dialect, exchange.request_id, exchange.headers)


async def _begun(exchange: Exchange, request: pb.SendMessageRequest) -> Run:
    """Return the run that a message begins. Raises what `submit_turns` and `answer_question` raise."""
    call = exchange.call
    names = exchange.dialect.names
    message = checked(request, names)
    modes = request.configuration.accepted_output_modes
    if modes and not {ANY_MODE, "text/*", *OUTPUT_MODES} & set(modes):
        raise ContentTypeNotSupportedError(
            f"configuration.acceptedOutputModes: agents answer with {' or '.join(OUTPUT_MODES)}"
        )
    if message.task_id:
        return await _answered(exchange, message, request)
    new = new_message(request, call.agent, await _input_fields(call), names)._replace(
        priority=exchange.headers.priority or Priority.NORMAL
    )
    if request.configuration.HasField("task_push_notification_config"):
        check_enabled(call.services)
        receiver = receiver_of(request.configuration.task_push_notification_config, exchange.dialect, names.push)
        new = new._replace(receivers=(receiver,))
    await _check_references(call, message)
    name = exchange.headers.key
    key = None if name is None else submit_key(name, new, call.services.registry.default)
    if new.thread_id is None:
        new = new._replace(thread_id=new_thread_id(call.caller))
    try:
        accepted = await submit_turns(call.services, call.caller, [new], key=key, by=call.by)
    except InvalidRequest as error:
        raise refused_url(error, names.push) from None
    return await first_run(call.services, call.caller, accepted)


async def _input_fields(call: Call) -> frozenset[str] | None:
    """Return the fields of the agent's input, if the agent also takes texts."""
    known = await call.services.descriptions.get(call.agent)
    if known is None or not known.takes_text:
        return None
    return frozenset(known.description.input_schema.get("properties", ()))


async def _answered(exchange: Exchange, message: pb.Message, request: pb.SendMessageRequest) -> Run:
    """Answer the question of a task, which goes on. Its receiver is added before."""
    call = exchange.call
    require_control(call.caller, "message.taskId")
    task = await call.task(message.task_id)
    if message.context_id not in ("", context_of(task)):
        told = "the task belongs to another context. Leave the field out"
        raise InvalidRequest(f"message.contextId: {told}", field="message.contextId")
    if task.state is not MessageState.INTERRUPTED:
        told = "has ended" if task.state in TERMINAL else "does not ask anything now"
        raise UnsupportedOperationError(
            f"The task {told}, so it takes no message. Leave taskId out: a new task of the context comes after it."
        )
    asked = [str(each["id"]) for each in json.loads(task.interrupt or "[]")]
    answer = answer_of(message, asked)
    if request.configuration.HasField("task_push_notification_config"):
        await _put_push(
            exchange, task, request.configuration.task_push_notification_config, exchange.dialect.names.push
        )
    return await answer_question(call.services, call.caller, task, answer, field="message.parts", by=call.by)


async def _check_references(call: Call, message: pb.Message) -> None:
    """Raise InvalidRequest for a task that an agent does not remember: it remembers those of its context."""
    if len(message.reference_task_ids) > MAX_PAGE:
        told = f"expected at most {MAX_PAGE} tasks"
        raise InvalidRequest(f"message.referenceTaskIds: {told}", field="message.referenceTaskIds")
    for name in message.reference_task_ids:
        if context_of(await call.task(name)) != message.context_id:
            told = f"an agent remembers the tasks of its context alone, and {name} is none of them"
            raise InvalidRequest(f"message.referenceTaskIds: {told}", field="message.referenceTaskIds")


async def _get(exchange: Exchange, request: pb.GetTaskRequest) -> Response:
    call = exchange.call
    length = request.history_length if request.HasField("history_length") else None
    _check_length(length)
    task = await whole_task(call.services, call.caller, await call.task(request.id), history_length=length)
    return exchange.reply(task)


async def _list(exchange: Exchange, request: pb.ListTasksRequest) -> Response:
    """List the tasks of the agent, newest first."""
    call = exchange.call
    size = request.page_size if request.HasField("page_size") else DEFAULT_PAGE
    if not 1 <= size <= MAX_PAGE:
        raise InvalidRequest(f"pageSize: expected 1 to {MAX_PAGE}", field="pageSize")
    if request.HasField("status_timestamp_after"):
        told = "tasks are listed by the time of their messages. Leave the field out"
        raise InvalidRequest(f"statusTimestampAfter: {told}", field="statusTimestampAfter")
    length = request.history_length if request.HasField("history_length") else 0
    _check_length(length)
    states = frozenset(state for state, shown in STATES.items() if shown == request.status)
    chosen = MessageFilter(
        states=states if request.status else None, thread_id=request.context_id or None, agent=call.agent
    )
    after = key_of(request.page_token, LISTED) if request.page_token else None
    if request.page_token and after is None:
        raise InvalidRequest("pageToken: expected a nextPageToken of ListTasks", field="pageToken")
    found = await call.services.queue.list_messages(call.caller, chosen, Page(size, after))
    count = await call.services.lists.count_messages(call.caller, chosen, None)
    tasks = [
        await _listed(call, each, with_artifacts=request.include_artifacts, history_length=length) for each in found
    ]
    listed = pb.ListTasksResponse(
        tasks=tasks,
        next_page_token=next_cursor(found, size, LISTED) or "",
        page_size=size,
        total_size=count.number,
    )
    return exchange.reply(listed)


async def _listed(call: Call, message: Message, *, with_artifacts: bool, history_length: int) -> pb.Task:
    if history_length:
        message = await call.services.queue.get(call.caller, message.id)  # lists are without options
    if not with_artifacts:
        return task_of(message, [], await history_of(call.services, call.caller, message, history_length))
    return await whole_task(call.services, call.caller, message, history_length=history_length)


async def _cancel(exchange: Exchange, request: pb.CancelTaskRequest) -> Response:
    """Cancel a task. Reply when it has ended, or at once if the caller may not wait."""
    call = exchange.call
    task = await call.task(request.id)
    message = await call.services.queue.cancel(call.caller, task.id, running=True, by=call.by)
    if message.state in TERMINAL or not await _may_wait(call):
        return exchange.reply(await whole_task(call.services, call.caller, message, history_length=None))
    run = await run_now(call, task.id)
    return HeldTask(
        call.services, call.caller, run, exchange.dialect, exchange.request_id,
        history_length=None,
    )  # fmt: skip


async def _may_wait(call: Call) -> bool:
    """Return whether the caller may have one more open reply."""
    try:
        await call.services.stream_limits.check(call.caller)
    except TooManyStreams:
        return False
    return True


async def _subscribe(exchange: Exchange, request: pb.SubscribeToTaskRequest) -> Response:
    """Stream the rest of a task. One that has ended has a rest only behind a cursor."""
    call = exchange.call
    run = await run_now(call, request.id)
    if run.message.state in TERMINAL and not exchange.headers.last_event_id:
        raise UnsupportedOperationError("The task has ended. Read it with GetTask.")
    return await rest_of(call.services, call.caller, run, exchange.dialect, exchange.request_id, exchange.headers)


async def _create_push(exchange: Exchange, request: pb.TaskPushNotificationConfig) -> Response:
    """Tell a receiver of the task from now on, in place of the one with the same id."""
    check_enabled(exchange.call.services)
    field = exchange.dialect.names.own_push
    return exchange.reply(await _put_push(exchange, await exchange.call.task(request.task_id), request, field))


async def _put_push(
    exchange: Exchange, task: Message, config: pb.TaskPushNotificationConfig, field: str
) -> pb.TaskPushNotificationConfig:
    """Store a config of a task and return it. `field` is as in `receiver_of`."""
    call, services = exchange.call, exchange.call.services
    check_enabled(services)
    receiver = receiver_of(config, exchange.dialect, field)
    if receiver.name == task.id:
        receiver = receiver.model_copy(update={"name": ""})
    try:
        await services.queue.check_webhook(receiver.url)
    except InvalidRequest as error:
        raise refused_url(error, field) from None
    stored = await services.deliveries.put_receiver(call.caller, task.id, receiver, call.by)
    return configs_of(task._replace(receivers=(stored,)), with_tokens=True)[0]


async def _push_configs(call: Call, task_id: str) -> tuple[Message, list[pb.TaskPushNotificationConfig]]:
    """Return a task and its configs. Only a caller who may set them sees their tokens."""
    check_enabled(call.services)
    task = await call.task(task_id)
    may_set = call.caller.subject is None and AccessScope.CONTROL in call.caller.scopes
    return task, configs_of(task, with_tokens=may_set)


async def _get_push(exchange: Exchange, request: pb.GetTaskPushNotificationConfigRequest) -> Response:
    task, configs = await _push_configs(exchange.call, request.task_id)
    return exchange.reply(named_config(configs, task, request.id))


async def _list_pushes(exchange: Exchange, request: pb.ListTaskPushNotificationConfigsRequest) -> Response:
    """List all configs of a task, which are few: they fit into one page."""
    _, configs = await _push_configs(exchange.call, request.task_id)
    return exchange.reply(pb.ListTaskPushNotificationConfigsResponse(configs=configs))


async def _delete_push(exchange: Exchange, request: pb.DeleteTaskPushNotificationConfigRequest) -> Response:
    """Remove a config. It is no error if there is none: a call that is repeated has the same effect."""
    call = exchange.call
    task, configs = await _push_configs(call, request.task_id)
    with suppress(TaskNotFoundError):
        name = named_config(configs, task, request.id).id
        await call.services.deliveries.remove_receiver(call.caller, task.id, "" if name == task.id else name, call.by)
    return exchange.reply(Empty())


def check_enabled(services: Services) -> None:
    """Raise PushNotificationNotSupportedError unless this server sends push notifications."""
    if not services.settings.webhook_keys:
        raise PushNotificationNotSupportedError(
            "This server sends no push notifications. Its operator can enable them with WEBHOOK_SECRET."
        )


async def _show_card(exchange: Exchange, _: pb.GetExtendedAgentCardRequest) -> Response:
    call = exchange.call
    card = await card_of(call.services, call.caller, call.agent, exchange.headers.base_url)
    return exchange.reply(card)


def _check_length(length: int | None) -> None:
    if length is not None and length < 0:
        raise InvalidRequest("historyLength: expected 0 or more", field="historyLength")


METHODS: Mapping[str, Method] = {
    "SendMessage": Method(AccessScope.SUBMIT, _send),
    "SendStreamingMessage": Method(AccessScope.SUBMIT, _stream),
    "GetTask": Method(AccessScope.READ, _get),
    "ListTasks": Method(AccessScope.READ, _list),
    "CancelTask": Method(AccessScope.CONTROL, _cancel),
    "SubscribeToTask": Method(AccessScope.READ, _subscribe),
    "CreateTaskPushNotificationConfig": Method(AccessScope.CONTROL, _create_push),
    "GetTaskPushNotificationConfig": Method(AccessScope.READ, _get_push),
    "ListTaskPushNotificationConfigs": Method(AccessScope.READ, _list_pushes),
    "DeleteTaskPushNotificationConfig": Method(AccessScope.CONTROL, _delete_push),
    "GetExtendedAgentCard": Method(AccessScope.READ, _show_card),
}
"""The methods by their names in 1.0."""
