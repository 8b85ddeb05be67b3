"""The secrets that the store keeps for tokens and tickets."""

from datetime import datetime
from typing import NamedTuple


class SigningSecret(NamedTuple):
    """A secret that signs tokens and tickets. `id` is in what it signs."""

    id: str
    secret: str
    created_at: datetime
