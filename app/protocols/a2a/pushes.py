"""Push notification configs: receivers of the events of a task's message. Pure."""

import re

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError

from ...errors import InvalidRequest
from ...models.deliveries import Receiver, WebhookForm
from ...models.messages import Message
from .calls import MAX_ID_LENGTH
from .dialects import VERSION, Dialect

MAX_TOKEN_LENGTH = 1_024
_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")

URL_OF_WEBHOOK = "webhook_url"
"""The native name of the field with the address of a receiver."""


def receiver_of(config: pb.TaskPushNotificationConfig, dialect: Dialect, field: str) -> Receiver:
    """Return the receiver of a config. `field` is the beginning of the names of its fields: empty, or with a dot.

    Raises InvalidRequest, which names the field. A config without an id gets an empty name: its id is that of its task.
    """

    def refused(name: str, told: str) -> InvalidRequest:
        return InvalidRequest(f"{field}{name}: {told}", field=f"{field}{name}")

    if config.tenant:
        raise refused("tenant", "the tenant is that of the credential. Leave the field out")
    if config.HasField("authentication"):
        told = "this server signs what it sends by the rules of Standard Webhooks. Leave the field out, or use `token`"
        raise refused("authentication", told)
    if config.token and (len(config.token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(config.token)):
        raise refused("token", f"expected at most {MAX_TOKEN_LENGTH} printable characters of ASCII")
    if len(config.id) > MAX_ID_LENGTH:
        raise refused("id", f"expected at most {MAX_ID_LENGTH} characters")
    if not config.url:
        raise refused("url", "expected the address of the receiver")
    return Receiver(
        name=config.id,
        url=config.url,
        form=WebhookForm.TASK if dialect.version == VERSION else WebhookForm.OLD_TASK,
        token=config.token or None,
    )


def refused_url(error: InvalidRequest, field: str) -> InvalidRequest:
    """Return the refusal of an address with the field of the protocol in it, and any other refusal as it is."""
    if error.field != URL_OF_WEBHOOK:
        return error
    return InvalidRequest(f"{field}url{str(error).removeprefix(URL_OF_WEBHOOK)}", field=f"{field}url")


def configs_of(message: Message, *, with_tokens: bool) -> list[pb.TaskPushNotificationConfig]:
    """Return the configs of a task, oldest first."""
    return [
        pb.TaskPushNotificationConfig(
            id=each.name or message.id,
            task_id=message.id,
            url=each.url,
            token=(each.token or "") if with_tokens else "",
        )
        for each in message.receivers
    ]


def named_config(
    configs: list[pb.TaskPushNotificationConfig], task: Message, name: str
) -> pb.TaskPushNotificationConfig:
    """Return the config with this id. An empty id means the only config, or else the one with the id of the task.

    Raises TaskNotFoundError.
    """
    found = configs if not name and len(configs) == 1 else [each for each in configs if each.id == (name or task.id)]
    if not found:
        told = (
            f"has no push notification config with the id {name!r}" if name else "has none or several: name one by id"
        )
        raise TaskNotFoundError(f"The task {task.id!r} {told}.")
    return found[0]
