"""`verify_webhook` takes what the server signs, and nothing else."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from agentq_client import errors, verify_webhook
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"another-secret-of-thirty-two-byt").decode()
BODY = '{"type": "message.completed", "data": {"result": "Größe"}}'
NOW = 1_790_000_000


def headers(secret: str = SECRET, body: str = BODY) -> dict[str, str]:
    signature = Webhook(secret).sign("d1", datetime.fromtimestamp(NOW, UTC), body)
    return {"Webhook-Id": "d1", "Webhook-Timestamp": str(NOW), "Webhook-Signature": signature}


@pytest.mark.parametrize("secret", [SECRET, f"{OTHER} {SECRET}"])
def test_what_the_server_signed_is_returned(secret: str) -> None:
    content = verify_webhook(BODY.encode(), headers(), secret, now=NOW + 299)
    assert content["data"] == {"result": "Größe"}


def test_one_good_signature_of_several_is_enough() -> None:
    both = {**headers(), "Webhook-Signature": "v1,AAAA v2,x " + headers()["Webhook-Signature"]}
    assert verify_webhook(BODY, both, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("body", "changes", "now"),
    [
        (BODY + " ", {}, NOW),
        (BODY, {"Webhook-Id": "d2"}, NOW),
        (BODY, {"Webhook-Timestamp": str(NOW + 1)}, NOW),
        (BODY, {"Webhook-Timestamp": "soon"}, NOW),
        (BODY, {"Webhook-Signature": headers(OTHER)["Webhook-Signature"]}, NOW),
        (BODY, {"Webhook-Signature": ""}, NOW),
        (BODY, {"Webhook-Signature": "v1,not-base64!"}, NOW),
        (BODY, {}, NOW + 301),
        (BODY, {}, NOW - 301),
    ],
)
def test_anything_else_is_refused(body: str, changes: dict[str, str], now: float) -> None:
    with pytest.raises(errors.WebhookRefused):
        verify_webhook(body, {**headers(), **changes}, SECRET, now=now)


@pytest.mark.parametrize("missing", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_a_missing_header_is_refused(missing: str) -> None:
    given = {name: value for name, value in headers().items() if name != missing}
    with pytest.raises(errors.WebhookRefused, match=missing.lower()):
        verify_webhook(BODY, given, SECRET, now=NOW)


@pytest.mark.parametrize("body", ["no json", "[1]"])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    with pytest.raises(errors.WebhookRefused):
        verify_webhook(body, headers(body=body), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "no base64!"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    given: dict[str, Any] = headers()
    with pytest.raises(errors.ConfigurationError):
        verify_webhook(BODY, given, secret, now=NOW)


def test_a_header_with_half_of_a_character_is_refused() -> None:
    with pytest.raises(errors.WebhookRefused):
        verify_webhook(BODY, {**headers(), "Webhook-Id": "\udcff"}, SECRET, now=NOW)
