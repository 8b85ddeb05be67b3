"""Push notifications: webhooks of this server with a task as their body. Pure."""

import re
from typing import Any

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError

from ...errors import InvalidRequest
from ...models.deliveries import WebhookEvent, WebhookForm
from ...models.messages import Message, NewMessage

A2A = "a2a"
"""The key of the surface's notes in the options of a message."""

CONFIG_ID = "push_config_id"

MAX_TOKEN_LENGTH = 1_024
_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")

ONLY_WITH_MESSAGE = (
    "The push notification config of a task is set with its message: send it as "
    "configuration.taskPushNotificationConfig. It stays until the task is deleted."
)


def with_push(new: NewMessage, config: pb.TaskPushNotificationConfig) -> NewMessage:
    """Return a message whose task is reported to a client. Raises InvalidRequest, which names the field."""
    field = "configuration.taskPushNotificationConfig"
    if config.HasField("authentication"):
        told = "this server signs what it sends by the rules of Standard Webhooks. Leave the field out, or use `token`"
        raise InvalidRequest(f"{field}.authentication: {told}", field=field)
    if config.token and (len(config.token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(config.token)):
        told = f"expected at most {MAX_TOKEN_LENGTH} printable characters of ASCII"
        raise InvalidRequest(f"{field}.token: {told}", field=field)
    if not config.url:
        raise InvalidRequest(f"{field}.url: expected the address of the receiver", field=field)
    assert new.options is not None, "it has the client's id of the message"
    options = new.options.model_copy(
        update={
            "webhook_form": WebhookForm.TASK,
            "webhook_token": config.token or None,
            "surface": {A2A: {CONFIG_ID: config.id[:255]}},
        }
    )
    return new._replace(options=options, webhook_url=config.url, webhook_events=tuple(WebhookEvent))


def config_of(message: Message) -> pb.TaskPushNotificationConfig | None:
    """Return the push notification config of a task; None without one."""
    if message.webhook_url is None or message.options.webhook_form is not WebhookForm.TASK:
        return None
    notes: dict[str, Any] = (message.options.surface or {}).get(A2A, {})
    return pb.TaskPushNotificationConfig(
        id=notes.get(CONFIG_ID) or message.id,
        task_id=message.id,
        url=message.webhook_url,
        token=message.options.webhook_token or "",
    )


def named_config(message: Message, name: str) -> pb.TaskPushNotificationConfig:
    """Return the config with this id. An empty id means the only one. Raises TaskNotFoundError."""
    config = config_of(message)
    if config is None or name not in ("", config.id):
        raise TaskNotFoundError(f"The task {message.id!r} has no push notification config with the id {name!r}.")
    return config


def fixed_config() -> UnsupportedOperationError:
    """Return the error for a change of the config of a task that exists."""
    return UnsupportedOperationError(ONLY_WITH_MESSAGE)
