"""Secrets of webhooks: which are taken, and which are refused."""

import base64

import pytest
from standardwebhooks import Webhook

from app.config import load_settings
from app.errors import ConfigurationError
from tests.unit.test_webhooks import NEXT_SECRET, SECRET


def key_of(size: int) -> str:
    return "whsec_" + base64.b64encode(b"x" * size).decode()


@pytest.mark.parametrize("secret", [SECRET, key_of(24), key_of(64), f"{SECRET} {NEXT_SECRET}"])
def test_one_secret_will_do_and_so_will_two(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", secret)

    keys = [Webhook(each)._whsecret for each in secret.split()]

    assert list(load_settings(None).webhook_keys) == keys


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_short",
        "whsec_" + "!" * 40,
        key_of(23),
        key_of(65),
        SECRET.removeprefix("whsec_"),
        f"{SECRET} {SECRET} {SECRET}",
        f"{SECRET},{SECRET}",
        " ",
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", secret)

    with pytest.raises(ConfigurationError, match="WEBHOOK_SECRET: expected whsec_ and 24 to 64 bytes") as raised:
        load_settings(None)

    assert str(raised.value).endswith("got a value that is not shown")
