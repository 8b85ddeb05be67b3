"""Erasures and their receipts."""

from __future__ import annotations

from datetime import datetime

from .base import Model


class Erasure(Model):
    """An erasure, which is also the receipt of what it removed.

    `name` is the id of the thread or the name of the subject, None at the end. `ended_at` is None while it works.
    `counts` tells how much was removed, by kind.
    """

    id: str
    kind: str
    tenant: str
    name: str | None = None
    state: str
    requested_by: str
    started_at: datetime
    ended_at: datetime | None = None
    counts: dict[str, int] = {}
