"""Callers with limits: their submits, and what is left of their limits."""

from collections.abc import Mapping
from typing import Any

from tests.integration.test_key_api import ask
from tests.servers import LiveServer

HELLO = {"message": "Hello"}


async def submit(server: LiveServer, key: Any, **headers: str) -> Any:
    return await ask(server, "POST", "/messages", key, HELLO, **headers)


async def limit_tenant(server: LiveServer, key: Any, **settings: Any) -> None:
    changed = await ask(server, "PATCH", "/tenants/default", key, settings)
    assert changed.status == 200, changed.body


def limits_in(headers: Mapping[str, str]) -> tuple[str, str]:
    return headers["ratelimit-policy"], headers["ratelimit"].partition(";t=")[0]
