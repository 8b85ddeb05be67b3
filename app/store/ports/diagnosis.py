"""Facts about the engine and the messages of all tenants, for a diagnosis."""

from collections.abc import Sequence
from typing import Protocol

from ...models.diagnosis import EngineReading, SampledMessage


class DiagnosisStore(Protocol):
    """Reads figures that show faults (tests/contract/test_diagnosis.py)."""

    async def sample_messages(self, *, limit: int) -> list[SampledMessage]:
        """Return messages of all tenants, at most `limit` of each of four kinds, from one snapshot.

        The kinds are waiting messages in the claim order, delayed ones by their time, processing ones by their lease,
        and ended ones, the newest first. The work does not grow with the number of messages.
        """

    async def read_engine(self) -> Sequence[EngineReading]:
        """Return what the engine has used up, as far as this process may see it."""
