"""API keys: `aq_<id>_<secret><check>`. The check is the CRC-32 of all before it, by which scanners recognise keys."""

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 12
SECRET_LENGTH = 43
"""62 ** 43 is more than 2 ** 256."""
CHECK_LENGTH = 6

_KEY = re.compile(rf"(aq_([0-9A-Za-z]{{{ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}}))([0-9A-Za-z]{{{CHECK_LENGTH}}})")


class KeyText(NamedTuple):
    """The parts of a key that a caller presents."""

    id: str
    secret: str


def new_id() -> str:
    """Return a random id for a key."""
    return _random(ID_LENGTH)


def new_secret() -> str:
    """Return a random secret of 256 bits."""
    return _random(SECRET_LENGTH)


def text_of(key_id: str, secret: str) -> str:
    """Return a key as its caller presents it."""
    body = f"aq_{key_id}_{secret}"
    return body + _check(body)


def parse(text: str) -> KeyText | None:
    """Return the parts of a key; None if the text is no key, or its check is wrong."""
    found = _KEY.fullmatch(text)
    if found is None or _check(found[1]) != found[4]:
        return None
    return KeyText(found[2], found[3])


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a secret. A slow hash is not needed, since secrets are random and long."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _check(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
