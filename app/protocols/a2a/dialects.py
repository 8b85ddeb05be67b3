"""The versions of the protocol that clients speak: 1.0, and 0.3 by the SDK's conversions.

Methods are carried out in the form of 1.0.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from a2a.compat.v0_3 import conversions as old
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2 as pb
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from pydantic import BaseModel, ValidationError

from ...api.errors import InvalidBody
from ...errors import InvalidRequest
from .fields import check_fields
from .json_forms import json_of, json_text
from .old_errors import check_files, shown_errors

VERSION, OLD_VERSION = "1.0", "0.3"


class Names(NamedTuple):
    """The names by which errors tell clients of fields and methods.

    `push` begins the names of the fields of a push notification config that comes with a message, and `own_push` those
    of a config that a method of its own sets.
    """

    user: str
    raw: str
    url: str
    media_type: str
    push: str
    own_push: str
    get_task: str
    subscribe: str


class Dialect(Protocol):
    """The form that a version gives to calls and results."""

    @property
    def version(self) -> str:
        """Return the version."""

    @property
    def names(self) -> Names:
        """Return the names that the version has."""

    def method_of(self, name: str) -> str | None:
        """Return the name in 1.0 of a method; None if the version has no method of this name."""

    def request_of(self, name: str, params: Any) -> Any:
        """Return the request of a method. Raises InvalidRequest and InvalidBody."""

    def result(self, result: Any) -> str:
        """Return the result of a method as JSON."""

    def item(self, item: pb.StreamResponse) -> str:
        """Return an item of a stream as JSON."""


REQUESTS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "SendMessage": pb.SendMessageRequest,
        "SendStreamingMessage": pb.SendMessageRequest,
        "GetTask": pb.GetTaskRequest,
        "ListTasks": pb.ListTasksRequest,
        "CancelTask": pb.CancelTaskRequest,
        "SubscribeToTask": pb.SubscribeToTaskRequest,
        "CreateTaskPushNotificationConfig": pb.TaskPushNotificationConfig,
        "GetTaskPushNotificationConfig": pb.GetTaskPushNotificationConfigRequest,
        "ListTaskPushNotificationConfigs": pb.ListTaskPushNotificationConfigsRequest,
        "DeleteTaskPushNotificationConfig": pb.DeleteTaskPushNotificationConfigRequest,
        "GetExtendedAgentCard": pb.GetExtendedAgentCardRequest,
    }
)
"""The requests of the methods by their names in 1.0."""


UNREADABLE = (ParseError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""Errors that the SDK raises for values that the protocol's messages cannot have."""

NOT_READ = "params: arrays and objects are nested too deeply"
"""Told of what the SDK refuses although each field has a value that it can have."""


class Present:
    """Version 1.0."""

    version = VERSION
    names = Names(
        user="ROLE_USER",
        raw="raw",
        url="url",
        media_type="mediaType",
        push="configuration.taskPushNotificationConfig.",
        own_push="",
        get_task="GetTask",
        subscribe="SubscribeToTask",
    )

    def method_of(self, name: str) -> str | None:
        """Return the name if there is such a method."""
        return name if name in REQUESTS else None

    def request_of(self, name: str, params: Any) -> Any:
        """Return the request of a method. Fields of later versions are ignored, as the protocol wants it."""
        request = REQUESTS[name]()
        check_fields(params, request.DESCRIPTOR)
        try:
            return ParseDict(params, request, ignore_unknown_fields=True)
        except UNREADABLE:
            raise InvalidRequest(NOT_READ, field="params") from None

    def result(self, result: Any) -> str:
        """Return the result of a method as JSON. A list has its required fields also if they are empty."""
        if isinstance(result, pb.ListTasksResponse):
            return json_text({"tasks": [], "nextPageToken": "", "totalSize": 0, **MessageToDict(result)})
        return json_of(result)

    def item(self, item: pb.StreamResponse) -> str:
        """Return an item of a stream as JSON."""
        return json_of(item)


_OLD: Mapping[str, tuple[str, type[BaseModel], Any]] = MappingProxyType(
    {
        "message/send": ("SendMessage", old_types.SendMessageRequest, old.to_core_send_message_request),
        "message/stream": (
            "SendStreamingMessage",
            old_types.SendStreamingMessageRequest,
            old.to_core_send_message_request,
        ),
        "tasks/get": ("GetTask", old_types.GetTaskRequest, old.to_core_get_task_request),
        "tasks/cancel": ("CancelTask", old_types.CancelTaskRequest, old.to_core_cancel_task_request),
        "tasks/resubscribe": (
            "SubscribeToTask",
            old_types.TaskResubscriptionRequest,
            old.to_core_subscribe_to_task_request,
        ),
        "tasks/pushNotificationConfig/set": (
            "CreateTaskPushNotificationConfig",
            old_types.SetTaskPushNotificationConfigRequest,
            old.to_core_create_task_push_notification_config_request,
        ),
        "tasks/pushNotificationConfig/get": (
            "GetTaskPushNotificationConfig",
            old_types.GetTaskPushNotificationConfigRequest,
            old.to_core_get_task_push_notification_config_request,
        ),
        "tasks/pushNotificationConfig/list": (
            "ListTaskPushNotificationConfigs",
            old_types.ListTaskPushNotificationConfigRequest,
            old.to_core_list_task_push_notification_config_request,
        ),
        "tasks/pushNotificationConfig/delete": (
            "DeleteTaskPushNotificationConfig",
            old_types.DeleteTaskPushNotificationConfigRequest,
            old.to_core_delete_task_push_notification_config_request,
        ),
        "agent/getAuthenticatedExtendedCard": (
            "GetExtendedAgentCard",
            old_types.GetAuthenticatedExtendedCardRequest,
            old.to_core_get_extended_agent_card_request,
        ),
    }
)
"""By the names in 0.3: the name in 1.0, the request, and its conversion."""


class Old:
    """Version 0.3."""

    version = OLD_VERSION
    names = Names(
        user="user",
        raw="file.bytes",
        url="file.uri",
        media_type="file.mimeType",
        push="configuration.pushNotificationConfig.",
        own_push="pushNotificationConfig.",
        get_task="tasks/get",
        subscribe="tasks/resubscribe",
    )

    def method_of(self, name: str) -> str | None:
        """Return the name in 1.0."""
        return _OLD[name][0] if name in _OLD else None

    def request_of(self, name: str, params: Any) -> Any:
        """Return the request of a method in the form of 1.0."""
        _, model, converted = _OLD[name]
        given = {"jsonrpc": "2.0", "id": 0, "method": name, "params": params}
        try:
            request: Any = model.model_validate(given)
        except ValidationError as error:
            raise InvalidBody(shown_errors(error.errors(include_url=False, include_input=False)), model) from None
        if model in (old_types.SendMessageRequest, old_types.SendStreamingMessageRequest):
            check_files(request.params)
        try:
            return converted(request)
        except UNREADABLE:
            raise InvalidRequest(NOT_READ, field="params") from None

    def result(self, result: Any) -> str:
        """Return the result of a method as JSON."""
        match result:
            case pb.SendMessageResponse():
                return _old_json(old.to_compat_task(result.task))
            case pb.Task():
                return _old_json(old.to_compat_task(result))
            case pb.TaskPushNotificationConfig():
                return _old_json(old.to_compat_task_push_notification_config(result))
            case pb.ListTaskPushNotificationConfigsResponse():
                each = [_old_json(old.to_compat_task_push_notification_config(config)) for config in result.configs]
                return f"[{','.join(each)}]"
            case Empty():
                return "null"
        return _old_json(old.to_compat_agent_card(result))

    def item(self, item: pb.StreamResponse) -> str:
        """Return an item of a stream as JSON."""
        return _old_json(old.to_compat_stream_response(item).result)


def _old_json(model: BaseModel) -> str:
    return json_text(model.model_dump(mode="json", by_alias=True, exclude_none=True))


DIALECTS: tuple[Dialect, ...] = (Present(), Old())
