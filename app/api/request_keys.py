"""Reads the Idempotency-Key of a request and makes a fingerprint of the request's meaning."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from fastapi import Request

from ..errors import InvalidRequest
from ..models.deliveries import ENDS
from ..models.messages import NewMessage
from ..models.requests import Key, Regeneration, ResumeAnswer, ThreadCreation
from .deps import MAX_KEY_LENGTH
from .request_reading import header_values


def key_of(request: Request) -> str | None:
    """Return the request's Idempotency-Key; None if there is none.

    Raises InvalidRequest if the key is invalid or given twice.
    """
    found = header_values(request, b"idempotency-key")
    if not found:
        return None
    if len(found) > 1 or not (0 < len(found[0]) <= MAX_KEY_LENGTH and all("!" <= char <= "~" for char in found[0])):
        raise InvalidRequest(
            f"Idempotency-Key: expected 1 to {MAX_KEY_LENGTH} visible ASCII characters", field="Idempotency-Key"
        )
    return found[0]


def submit_key(key: str, wanted: NewMessage, default_agent: str) -> Key:
    """Return the key with the fingerprint of one message. HTTP and WebSocket give the same fingerprint."""
    return key, _fingerprint("submit", _changed_fields(wanted, default_agent))


def batch_key(key: str, wanted: Sequence[NewMessage], default_agent: str) -> Key:
    """Return the key with the fingerprint of a batch."""
    return key, _fingerprint("batch", [_changed_fields(each, default_agent) for each in wanted])


def resume_key(key: str, message_id: str, answer: ResumeAnswer) -> Key:
    """Return the key with the fingerprint of an answer to this message."""
    meaning = [message_id, answer.value, answer.values]
    return key, _fingerprint("resume", meaning if answer.alias is None else [*meaning, answer.alias])


def regenerate_key(key: str, message_id: str, wanted: Regeneration) -> Key:
    """Return the key with the fingerprint of a request to regenerate this message."""
    return key, _fingerprint("regenerate", [message_id, wanted.priority, wanted.if_busy, wanted.metadata])


def thread_key(key: str, wanted: ThreadCreation) -> Key:
    """Return the key with the fingerprint of a request to make this thread."""
    fields = wanted._asdict()
    if wanted.ttl is None:
        del fields["ttl"]  # requests of earlier versions keep their fingerprint
    return key, _fingerprint("thread", fields)


def _changed_fields(wanted: NewMessage, default_agent: str) -> dict[str, Any]:
    """Return a message's fields that differ from their defaults. New fields of later versions keep the fingerprint."""
    fields = wanted._asdict()
    if wanted.agent == default_agent:
        fields["agent"] = ""
    if wanted.options is not None:
        fields["options"] = wanted.options.model_dump(mode="json", exclude_defaults=True)
    if wanted.run_at is not None:
        fields["run_at"] = wanted.run_at.astimezone(UTC).isoformat()
    if wanted.webhook_events is not None:
        events = set(wanted.webhook_events)
        fields["webhook_events"] = None if events == set(ENDS) else sorted(events)
    if wanted.receivers:
        fields["receivers"] = [each.model_dump(mode="json", exclude={"key"}) for each in wanted.receivers]
    defaults = NewMessage._field_defaults
    return {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}


def _fingerprint(kind: str, meaning: object) -> str:
    text = json.dumps([kind, _canonical(meaning)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> object:
    """Return a value whose JSON is the same for equal values, such as 1 and 1.0."""
    match value:
        case dict():
            return {name: _canonical(each) for name, each in value.items()}
        case list():
            return [_canonical(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
