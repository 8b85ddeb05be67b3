"""Tells what the shares of tenants do to messages."""

from typing import Protocol


class ShareStore(Protocol):
    """Reads which messages go before others since their tenants have had less."""

    async def count_overtaking(self, tenant: str, message_id: str) -> int:
        """Return how many messages of its priority go before a waiting message although they were accepted later.

        They take turns by FAIR_SHARE. Only the first OVERTAKING_COUNTED messages of the priority are looked at. Returns
        0 if the message does not wait, or belongs to another tenant (tests/contract/test_fair_share.py).
        """
