"""Items, which agents keep across threads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .base import Model


class Item(Model):
    """An item with its value. `namespace` has its labels, the outermost first."""

    namespace: list[str]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
