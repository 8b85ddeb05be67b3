"""Checks that a webhook is from the server, by the Standard Webhooks signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from .errors import ConfigurationError, WebhookRefused

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """Return the webhook's content: `type`, `timestamp` and `data`.

    `body` is the body as it came, before any parsing. `secret` may name several, separated by spaces, while it is
    changed. `now` is the time in seconds since 1970, for tests. Raises WebhookRefused, and ConfigurationError for a
    secret that is none. Drop doubles by the header `webhook-id`, which is the same for all tries of a delivery.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, sent, signatures = (found[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookRefused(f"The webhook has no header {error.args[0]}.") from error
    if not (sent.isascii() and sent.isdigit() and len(sent) < 15):
        raise WebhookRefused("The webhook's timestamp is no number.")
    if abs((time.time() if now is None else now) - int(sent)) > tolerance_seconds:
        raise WebhookRefused(f"The webhook's time differs by more than {tolerance_seconds:g} seconds from ours.")
    try:
        raw = body.encode() if isinstance(body, str) else bytes(body)
        signed = f"{webhook_id}.{sent}.".encode() + raw
    except UnicodeEncodeError as error:
        raise WebhookRefused("The webhook has half of a character.") from error
    expected = [hmac.new(key, signed, hashlib.sha256).digest() for key in _keys(secret)]
    if not any(hmac.compare_digest(given, digest) for given in _given(signatures) for digest in expected):
        raise WebhookRefused("The webhook's signature is wrong.")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("The webhook's body is no JSON.") from error
    if not isinstance(content, dict):
        raise WebhookRefused("The webhook's body is no object.")
    return content


def _keys(secret: str) -> list[bytes]:
    try:
        keys = [base64.b64decode(each.removeprefix(PREFIX), validate=True) for each in secret.split()]
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError("The webhook secret is not base64.", cure="Copy WEBHOOK_SECRET as it is.") from error
    if not keys or not all(keys):
        raise ConfigurationError("The webhook secret is empty.", cure="Give WEBHOOK_SECRET.")
    return keys


def _given(signatures: str) -> list[bytes]:
    found = []
    for signature in signatures.split():
        version, _, text = signature.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found
