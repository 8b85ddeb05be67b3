"""Makes the TLS contexts of servers cheap: with one certificate authority, not with all that the host trusts."""

import atexit
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi

VARIABLE = "SSL_CERT_FILE"
END = "-----END CERTIFICATE-----\n"


@functools.cache
def one_authority() -> str:
    """Return the path of a file with one authority, made once. To read all of them costs 25 ms for each HTTP client."""
    with tempfile.NamedTemporaryFile("w", prefix="agent-queue-authority-", suffix=".pem", delete=False) as file:
        file.write(Path(certifi.where()).read_text("utf-8").partition(END)[0] + END)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name


@contextmanager
def few_authorities() -> Iterator[None]:
    """Let this process read no more than one authority, unless the test names its own."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = one_authority()
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
