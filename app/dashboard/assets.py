"""Reads the files of the dashboard, and makes the page that loads them."""

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cached_property
from gzip import compress
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import NamedTuple

from ..api.security_headers import FRAMES

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"

MODULES = {
    "preact": "preact.js",
    "preact/hooks": "preact-hooks.js",
    "@preact/signals": "signals.js",
    "@preact/signals-core": "signals-core.js",
    "htm": "htm.js",
    "marked": "marked.js",
    "dompurify": "dompurify.js",
    "uplot": "uplot.js",
    "agentq-client": "agentq-client.js",
    "agentq-client/operators": "agentq-client.js",
}
"""The names by which modules import those of others, and their files in `static/vendor`."""

POLICY = (
    f"default-src 'none'; {FRAMES}; form-action 'none'; script-src 'self' 'sha256-{{}}'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; require-trusted-types-for 'script'; trusted-types dompurify"
)
"""The Content-Security-Policy of the page, which needs the hash of its import map."""


class Asset:
    """A file as it is sent."""

    def __init__(self, media_type: str, body: bytes) -> None:
        self.media_type = media_type
        self.body = body

    @cached_property
    def compressed(self) -> bytes:
        """The compressed body, made for the first request: to compress all files would take a third of a start."""
        return compress(self.body, 9, mtime=0)


class Assets(NamedTuple):
    """The files by their paths, and the page that loads them.

    `digest` changes with any of them. It is a part of their addresses, so that browsers can keep them for good and a
    page never mixes the files of two versions.
    """

    digest: str
    files: Mapping[str, Asset]
    page: Asset
    policy: str


def read_assets(folder: Path = STATIC) -> Assets:
    """Return the files of a folder and the folders in it. Raises OSError if one cannot be read."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    bodies = {name: path.read_bytes() for name, path in found.items()}
    digest = sha256(b"".join(name.encode() + body for name, body in bodies.items())).hexdigest()[:16]
    page = bodies.pop(PAGE).decode().replace("{assets}", f"assets/{digest}")
    import_map = json.dumps({"imports": {name: f"./assets/{digest}/vendor/{file}" for name, file in MODULES.items()}})
    policy = POLICY.format(b64encode(sha256(import_map.encode()).digest()).decode())
    page = page.replace("{import_map}", import_map)
    return Assets(
        digest, {name: _asset(name, body) for name, body in bodies.items()}, _asset(PAGE, page.encode()), policy
    )


def _asset(name: str, body: bytes) -> Asset:
    media_type, _ = guess_type(name)
    if name.endswith(".js"):
        media_type = "text/javascript"  # some systems have another type for it, which browsers refuse
    charset = "; charset=utf-8" if media_type is not None and media_type.startswith("text/") else ""
    return Asset(f"{media_type or 'application/octet-stream'}{charset}", body)
