"""Lists of long values as JSON."""

import asyncio
import json
from collections.abc import AsyncIterable
from typing import Any


async def json_list(values: AsyncIterable[Any]) -> str:
    """Return a list as JSON. Each value is encoded at once, and then others have a turn: a state takes milliseconds."""
    texts: list[str] = []
    async for value in values:
        texts.append(json.dumps(value))
        await asyncio.sleep(0)
    return f"[{', '.join(texts)}]"
