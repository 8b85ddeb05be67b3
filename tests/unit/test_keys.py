"""API keys as text."""

import hmac
from collections.abc import AsyncIterator

import pytest

from app.access import verification
from app.access.keys import ALPHABET, hash_of, new_id, new_secret, parse, text_of
from app.access.management import KeyManager
from app.access.scopes import AccessScope
from app.access.verification import KeyVerifier
from app.errors.access import InvalidKey
from app.observability.logging import Redactor
from app.store.sqlite.store import SqliteStore


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
    assert Redactor().redact("signed by whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw now") == "signed by *** now"
    assert Redactor().redact(f"/x?key={text}&a=1 {text}") == "/x?key=***&a=1 ***"


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    """An empty store in memory."""
    store = SqliteStore(None)
    await store.open()
    yield store
    await store.close()


async def test_the_memory_of_verified_keys_is_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MAX_VERIFIED", 2)
    keys = KeyVerifier(store)
    first, second, third = [(await KeyManager(store).create("default", "", AccessScope, None)).text for _ in range(3)]
    await keys.verify(first)
    await keys.verify(second)
    assert keys.find(first) is not None, "now the second is the least recently used"
    await keys.verify(third)
    assert [keys.find(text) is not None for text in (first, second, third)] == [True, False, True]


async def test_unknown_ids_take_as_many_comparisons_as_wrong_secrets(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await KeyManager(store).create("default", "", AccessScope, None)
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def counted(one: str, other: str) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    counts = []
    for key_id in (issued.key.id, new_id()):
        compared.clear()
        with pytest.raises(InvalidKey):
            await KeyVerifier(store).verify(text_of(key_id, new_secret()))
        counts.append(len(compared))
        assert all(len(one) == len(other) == 64 for one, other in compared)
    assert counts == [2, 2]
    assert {one for one, _ in compared} == {verification.UNKNOWN_HASH}
