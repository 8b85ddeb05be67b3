"""The lines of an export: a head, then one record a line in the order in which an import needs them, and an end."""

import json
from base64 import b64decode, b64encode
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter
from pydantic_core import to_jsonable_python

from ..checkpoints.transfer import StoredStep, StoredWrite
from ..models.attempts import FailedAttempt
from ..models.deliveries import DeliveryRecord
from ..models.events import Event
from ..models.keys import ApiKey
from ..models.messages import Message
from ..models.tenants import Tenant, TenantSettings, fields_of
from ..models.threads import ForkSource
from ..models.types import Moment
from ..models.usage import ModelUsage


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> str:
        """Return the line of this in an export, in ASCII, with its end."""
        return json.dumps(self.model_dump(mode="json")) + "\n"


class Head(_Line):
    """The first line."""

    format: Literal["agentq-export"] = "agentq-export"
    version: Literal[1] = 1
    program: str
    created_at: str


class KeyRecord(_Line):
    """An API key, with hashes of its secrets."""

    kind: Literal["key"] = "key"
    key: dict[str, Any]

    @classmethod
    def of(cls, key: ApiKey) -> "KeyRecord":
        """Return the record of a key."""
        return cls(key=to_jsonable_python(key._asdict()))

    def stored(self) -> ApiKey:
        """Return the key. Raises ValidationError."""
        return _KEY.validate_python(self.key)


class TenantRecord(_Line):
    """The settings of a tenant."""

    kind: Literal["tenant"] = "tenant"
    tenant: str
    settings: dict[str, Any]
    created_at: Moment
    changed_at: Moment

    @classmethod
    def of(cls, record: Tenant) -> "TenantRecord":
        """Return the line of a tenant's record."""
        return cls(
            tenant=record.tenant,
            settings=fields_of(record.settings),
            created_at=record.created_at,
            changed_at=record.changed_at,
        )

    def stored(self) -> TenantSettings:
        """Return the settings. Raises ValidationError."""
        return _TENANT.validate_python(self.settings)


class ItemRecord(_Line):
    """An item that agents keep across threads. `value` is JSON."""

    kind: Literal["item"] = "item"
    tenant: str
    namespace: tuple[str, ...]
    key: str
    value: str
    created_at: Moment
    updated_at: Moment
    ttl_ms: int | None


class ThreadRecord(_Line):
    """A thread without its messages. One with a name, metadata or a TTL comes twice: messages change them meanwhile."""

    kind: Literal["thread"] = "thread"
    tenant: str
    thread_id: str
    created_at: Moment
    last_activity: Moment
    name: str | None
    metadata: dict[str, Any]
    forked_from: ForkSource | None
    subject: str | None
    ttl: float | None = None


class MessageRecord(_Line):
    """A message with its log. With `is_held`, the last step of the log is left for a later record of the message."""

    kind: Literal["message"] = "message"
    is_held: bool = False
    message: dict[str, Any]
    events: tuple[Event, ...]
    attempts: tuple[FailedAttempt, ...]
    usage: tuple[ModelUsage, ...]
    aliases: dict[str, int]
    deliveries: tuple[DeliveryRecord, ...]

    @staticmethod
    def fields_of(message: Message) -> dict[str, Any]:
        """Return the fields of a message as JSON has them, without those that only the store of the export knows."""
        fields = message._replace(queue_position=None)._asdict()
        fields["options"] = message.options.model_dump(mode="json", exclude_defaults=True)
        stored: dict[str, Any] = to_jsonable_python(fields)
        return {name: value for name, value in stored.items() if value not in (None, {}, [])}

    def stored(self) -> Message:
        """Return the message as it was in the store of the export. Raises ValidationError."""
        return _MESSAGE.validate_python({**dict.fromkeys(Message._fields[:17]), **self.message})


InBase64 = Annotated[
    bytes,
    BeforeValidator(lambda given: b64decode(given, validate=True) if isinstance(given, str) else given),
    PlainSerializer(lambda value: b64encode(value).decode(), when_used="json"),
]

EncodedValue = tuple[str, InBase64]
"""A value as the agents' memory encodes it: the name of the encoding, and the bytes."""


class MemoryRecord(_Line):
    """A step of what agents remember of a thread, or of a message without a thread.

    `writes` are a task's id, a channel and a value each.
    """

    kind: Literal["memory"] = "memory"
    tenant: str
    thread_id: str | None
    message_id: str | None
    namespace: str
    checkpoint_id: str
    parent_id: str | None
    checkpoint: EncodedValue
    metadata: dict[str, Any]
    writes: tuple[tuple[str, str, EncodedValue], ...]

    @classmethod
    def of(cls, step: StoredStep, tenant: str, thread_id: str | None, message_id: str | None) -> "MemoryRecord":
        """Return the record of a step."""
        return cls(tenant=tenant, thread_id=thread_id, message_id=message_id, **step._asdict())

    def stored(self) -> tuple[str, StoredStep]:
        """Return the key of the conversation in the memory, and its step."""
        writes = [StoredWrite(*each) for each in self.writes]
        step = StoredStep(
            self.namespace, self.checkpoint_id, self.parent_id, self.checkpoint, self.metadata, writes
        )  # fmt: skip
        return Message.memory_key_of(self.tenant, self.thread_id, self.message_id or ""), step


class End(_Line):
    """The last line, with the number of records before it. An export without it is cut off."""

    kind: Literal["end"] = "end"
    records: int


Record = KeyRecord | TenantRecord | ItemRecord | ThreadRecord | MessageRecord | MemoryRecord | End

_KEY: TypeAdapter[ApiKey] = TypeAdapter(ApiKey)
_TENANT: TypeAdapter[TenantSettings] = TypeAdapter(TenantSettings)
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
