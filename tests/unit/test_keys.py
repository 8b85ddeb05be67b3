"""API keys as text."""

import pytest

from app.access.keys import ALPHABET, hash_of, new_id, new_secret, parse, text_of
from app.observability.logging import Redactor


def test_a_key_has_a_prefix_an_id_a_secret_of_256_bits_and_a_check() -> None:
    key_id, secret = new_id(), new_secret()
    text = text_of(key_id, secret)
    assert text.startswith(f"aq_{key_id}_{secret}")
    assert (len(key_id), len(secret), len(text)) == (12, 43, 65)
    assert len(ALPHABET) ** len(secret) > 2**256
    assert parse(text) == (key_id, secret)
    assert secret not in hash_of(secret)


def test_each_changed_character_is_noticed() -> None:
    text = text_of(new_id(), new_secret())
    for place, was in enumerate(text):
        for other in "aZ_":
            if other != was:
                assert parse(text[:place] + other + text[place + 1 :]) is None


@pytest.mark.parametrize("text", ["", "aq_", "aq_x_y", "sk-test", "aq_" + "0" * 62, "ü" * 65, "\udc80", "' OR 1=1 --"])
def test_other_texts_are_no_keys(text: str) -> None:
    assert parse(text) is None


def test_no_key_is_logged() -> None:
    text = text_of(new_id(), new_secret())
    assert Redactor().redact(f"/x?key={text}&a=1 {text}") == "/x?key=***&a=1 ***"
